#include "gzip.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cassert>
#include <cstring>
#include <queue>
#include <span>
#include <utility>

namespace reflex {

namespace {

constexpr uint32_t kLiterals = 286;
constexpr uint32_t kDistances = 30;
constexpr uint32_t kLengthCodes = 19;
constexpr uint32_t kEndOfBlock = 256;
constexpr uint32_t kShortest = 4;
constexpr uint32_t kLongest = 258;
constexpr uint8_t kLengthOrder[kLengthCodes] = {16, 17, 18, 0, 8,  7, 9,  6, 10, 5,
                                                11, 4,  12, 3, 13, 2, 14, 1, 15};

constexpr std::array<uint32_t, 256> kCrc = [] {
  std::array<uint32_t, 256> table{};
  for (uint32_t i = 0; i < 256; ++i) {
    uint32_t value = i;
    for (int k = 0; k < 8; ++k) value = (value & 1) != 0 ? 0xEDB88320u ^ (value >> 1) : value >> 1;
    table[i] = value;
  }
  return table;
}();

uint32_t crc32(uint32_t crc, std::string_view bytes) {
  crc = ~crc;
  for (const char c : bytes) crc = kCrc[(crc ^ static_cast<uint8_t>(c)) & 0xFF] ^ (crc >> 8);
  return ~crc;
}

// A length or distance as its code and the bits behind it.
struct Coded {
  uint32_t code;
  uint32_t extra_bits;
  uint32_t extra;
};

// Codes come in runs of `1 << shift` that share a number of extra bits; the first runs have none.
Coded coded(uint32_t value, uint32_t shift) {
  const auto bits = static_cast<uint32_t>(std::bit_width(value));
  if (bits <= shift + 1) return {value, 0, 0};
  const uint32_t extra_bits = bits - 1 - shift;
  return {(extra_bits << shift) + (value >> extra_bits), extra_bits, value & ((1u << extra_bits) - 1)};
}

Coded coded_length(uint32_t length) {
  if (length == kLongest) return {285, 0, 0};
  Coded out = coded(length - 3, 2);
  out.code += 257;
  return out;
}

Coded coded_distance(uint32_t distance) { return coded(distance - 1, 1); }

// Huffman code lengths of at most `longest` bits.
void code_lengths(std::span<const uint32_t> counts, uint32_t longest, std::span<uint8_t> lengths) {
  struct Node {
    uint64_t count;
    uint32_t index;
    bool operator>(const Node& other) const {
      return count != other.count ? count > other.count : index > other.index;
    }
  };
  std::vector<uint32_t> symbols;
  for (uint32_t i = 0; i < counts.size(); ++i) {
    if (counts[i] != 0) symbols.push_back(i);
  }
  assert(symbols.size() >= 2);
  std::ranges::stable_sort(symbols, [&](uint32_t a, uint32_t b) { return counts[a] > counts[b]; });
  std::priority_queue<Node, std::vector<Node>, std::greater<>> open;
  const auto leaves = static_cast<uint32_t>(symbols.size());
  std::vector<uint32_t> parent(2 * size_t{leaves} - 1);
  for (uint32_t i = 0; i < leaves; ++i) open.push({counts[symbols[i]], i});
  for (uint32_t inner = leaves; inner < 2 * leaves - 1; ++inner) {
    const Node a = open.top();
    open.pop();
    const Node b = open.top();
    open.pop();
    parent[a.index] = parent[b.index] = inner;
    open.push({a.count + b.count, inner});
  }
  std::vector<uint32_t> depth(parent.size());
  std::vector<uint32_t> of_length(longest + 1);
  for (size_t i = parent.size() - 1; i > 0; --i) {
    depth[i - 1] = depth[parent[i - 1]] + 1;
    if (i - 1 < leaves) ++of_length[std::min(depth[i - 1], longest)];
  }
  // Where codes were cut to `longest`, others grow until all fit again.
  uint64_t used = 0;
  for (uint32_t l = 1; l <= longest; ++l) used += uint64_t{of_length[l]} << (longest - l);
  for (; used > uint64_t{1} << longest; --used) {
    uint32_t l = longest - 1;
    while (of_length[l] == 0) --l;
    --of_length[l];
    of_length[l + 1] += 2;
    --of_length[longest];
  }
  size_t next = 0;
  for (uint32_t l = 1; l <= longest; ++l) {
    for (uint32_t k = 0; k < of_length[l]; ++k) lengths[symbols[next++]] = static_cast<uint8_t>(l);
  }
}

struct Codes {
  std::vector<uint32_t> counts;
  std::vector<uint8_t> lengths;
  std::vector<uint16_t> codes;  // their first bit lowest

  explicit Codes(uint32_t size) : counts(size), lengths(size), codes(size) {}

  void make(uint32_t longest) {
    // Decoders want a code of two symbols at least.
    for (size_t i = 0; std::ranges::count_if(counts, [](uint32_t n) { return n != 0; }) < 2; ++i) {
      if (counts[i] == 0) counts[i] = 1;
    }
    code_lengths(counts, longest, lengths);
    uint32_t code = 0;
    for (uint32_t l = 1; l <= longest; ++l, code <<= 1) {
      for (size_t i = 0; i < lengths.size(); ++i) {
        if (lengths[i] != l) continue;
        uint32_t reversed = 0;
        for (uint32_t b = 0; b < l; ++b) reversed |= ((code >> b) & 1) << (l - 1 - b);
        codes[i] = static_cast<uint16_t>(reversed);
        ++code;
      }
    }
  }
  // How many have to be written: all up to the last that is used.
  uint32_t used(uint32_t least) const {
    auto size = static_cast<uint32_t>(lengths.size());
    while (size > least && lengths[size - 1] == 0) --size;
    return size;
  }
};

// Code lengths as the format writes them: each itself, or a run of zeros or repetitions.
struct Run {
  uint8_t code;
  uint8_t extra_bits;
  uint8_t extra;
};

std::vector<Run> runs_of(const std::vector<uint8_t>& lengths) {
  std::vector<Run> runs;
  for (size_t i = 0; i < lengths.size();) {
    size_t same = 1;
    while (i + same < lengths.size() && lengths[i + same] == lengths[i]) ++same;
    const uint8_t length = lengths[i];
    i += same;
    if (length != 0) {
      runs.push_back({length, 0, 0});
      --same;
    }
    while (same >= 3) {
      const size_t most = length != 0 ? 6 : same <= 10 ? 10 : 138;
      const size_t take = std::min(same, most);
      if (length != 0) {
        runs.push_back({16, 2, static_cast<uint8_t>(take - 3)});
      } else if (take <= 10) {
        runs.push_back({17, 3, static_cast<uint8_t>(take - 3)});
      } else {
        runs.push_back({18, 7, static_cast<uint8_t>(take - 11)});
      }
      same -= take;
    }
    for (; same > 0; --same) runs.push_back({length, 0, 0});
  }
  return runs;
}

uint32_t four_bytes(const char* at) {
  uint32_t value = 0;
  std::memcpy(&value, at, sizeof(value));
  return value;
}

size_t common(const char* a, const char* b, size_t most) {
  size_t same = 0;
  for (; same + 8 <= most; same += 8) {
    uint64_t x = 0;
    uint64_t y = 0;
    std::memcpy(&x, a + same, 8);
    std::memcpy(&y, b + same, 8);
    if (x != y) return same + static_cast<size_t>(std::countr_zero(x ^ y)) / 8;
  }
  while (same < most && a[same] == b[same]) ++same;
  return same;
}

class GzipBody : public Body {
 public:
  GzipBody(std::string first, std::unique_ptr<Body> rest) : text_(std::move(first)), rest_(std::move(rest)) {}

  State next(std::string* out) override {
    if (at_ == text_.size() && rest_ != nullptr) {
      text_.clear();
      at_ = 0;
      const State state = rest_->next(&text_);
      if (state == State::kFailed) return state;
      if (state == State::kDone) rest_.reset();
    }
    const size_t take = std::min(text_.size() - at_, 4 * kPieceBytes);
    const bool last = rest_ == nullptr && at_ + take == text_.size();
    gzip_.add(std::string_view(text_).substr(at_, take), last, out);
    at_ += take;
    return last ? State::kDone : State::kMore;
  }

 private:
  std::string text_;
  size_t at_ = 0;
  std::unique_ptr<Body> rest_;
  Gzip gzip_;
};

}  // namespace

Gzip::Gzip() : heads_(size_t{1} << kHashBits) {}

void Gzip::bits(uint32_t value, uint32_t count, std::string* out) {
  held_ |= uint64_t{value} << held_bits_;
  held_bits_ += count;
  while (held_bits_ >= 8) {
    out->push_back(static_cast<char>(held_ & 0xFF));
    held_ >>= 8;
    held_bits_ -= 8;
  }
}

void Gzip::begin(std::string* out) {
  constexpr char kHead[] = {'\x1f', '\x8b', 8, 0, 0, 0, 0, 0, 0, '\xff'};
  out->append(kHead, sizeof(kHead));
  begun_ = true;
  crc_ = 0;
  size_ = 0;
  window_.clear();
  std::ranges::fill(heads_, 0);
}

void Gzip::end(std::string* out) {
  bits(3, 3, out);  // a last block, of fixed codes, with nothing in it
  bits(0, 7, out);
  if (held_bits_ != 0) bits(0, 8 - held_bits_, out);
  const uint32_t tail[2] = {crc_, size_};
  out->append(reinterpret_cast<const char*>(tail), sizeof(tail));
  begun_ = false;
}

void Gzip::add(std::string_view input, bool last, std::string* out) {
  if (!begun_) begin(out);
  while (!input.empty()) {
    segment(input.substr(0, kSegment), out);
    input.remove_prefix(std::min(input.size(), kSegment));
  }
  if (last) end(out);
}

void Gzip::segment(std::string_view input, std::string* out) {
  if (window_.size() > kWindow) {
    const auto gone = static_cast<uint32_t>(window_.size() - kWindow);
    window_.erase(0, gone);
    for (uint32_t& head : heads_) head = head > gone ? head - gone : 0;
  }
  const size_t from = window_.size();
  window_ += input;
  crc_ = crc32(crc_, input);
  size_ += static_cast<uint32_t>(input.size());
  tokens_.clear();
  find_matches(from);
  write_block(out);
}

void Gzip::find_matches(size_t from) {
  const auto hash = [this](size_t at) {
    return (four_bytes(window_.data() + at) * 2654435761u) >> (32 - kHashBits);
  };
  for (size_t i = from; i < window_.size();) {
    if (i + kShortest <= window_.size()) {
      uint32_t& head = heads_[hash(i)];
      const size_t candidate = head;  // plus one
      head = static_cast<uint32_t>(i + 1);
      if (candidate != 0 && i + 1 - candidate <= kWindow) {
        const size_t before = i;
        take_match(&i, candidate - 1);
        // Some of what a match passes over is where the next may start.
        for (size_t k = before + 1; k < i && k + kShortest <= window_.size(); k += 2) {
          heads_[hash(k)] = static_cast<uint32_t>(k + 1);
        }
        if (i != before) continue;
      }
    }
    tokens_.push_back(static_cast<uint8_t>(window_[i++]));
  }
}

void Gzip::take_match(size_t* i, size_t candidate) {
  const size_t most = std::min<size_t>(kLongest, window_.size() - *i);
  const size_t length = common(window_.data() + candidate, window_.data() + *i, most);
  if (length < kShortest) return;
  tokens_.push_back(static_cast<uint32_t>(length << 16 | (*i - candidate)));
  *i += length;
}

void Gzip::write_block(std::string* out) {
  Codes literals(kLiterals);
  Codes distances(kDistances);
  ++literals.counts[kEndOfBlock];
  for (const uint32_t token : tokens_) {
    if (token < 256) {
      ++literals.counts[token];
    } else {
      ++literals.counts[coded_length(token >> 16).code];
      ++distances.counts[coded_distance(token & 0xFFFF).code];
    }
  }
  literals.make(15);
  distances.make(15);
  const uint32_t literal_count = literals.used(257);
  const uint32_t distance_count = distances.used(1);
  std::vector<uint8_t> lengths(literals.lengths.begin(), literals.lengths.begin() + literal_count);
  lengths.insert(lengths.end(), distances.lengths.begin(), distances.lengths.begin() + distance_count);
  const std::vector<Run> runs = runs_of(lengths);
  Codes of_lengths(kLengthCodes);
  for (const Run& run : runs) ++of_lengths.counts[run.code];
  of_lengths.make(7);
  uint32_t length_count = kLengthCodes;
  while (length_count > 4 && of_lengths.lengths[kLengthOrder[length_count - 1]] == 0) --length_count;

  bits(4, 3, out);  // not the last block, codes of its own
  bits(literal_count - 257, 5, out);
  bits(distance_count - 1, 5, out);
  bits(length_count - 4, 4, out);
  for (uint32_t i = 0; i < length_count; ++i) bits(of_lengths.lengths[kLengthOrder[i]], 3, out);
  const auto put = [&](const Codes& codes, uint32_t symbol) {
    bits(codes.codes[symbol], codes.lengths[symbol], out);
  };
  for (const Run& run : runs) {
    put(of_lengths, run.code);
    bits(run.extra, run.extra_bits, out);
  }
  for (const uint32_t token : tokens_) {
    if (token < 256) {
      put(literals, token);
      continue;
    }
    const Coded length = coded_length(token >> 16);
    const Coded distance = coded_distance(token & 0xFFFF);
    put(literals, length.code);
    bits(length.extra, length.extra_bits, out);
    put(distances, distance.code);
    bits(distance.extra, distance.extra_bits, out);
  }
  put(literals, kEndOfBlock);
}

std::unique_ptr<Body> gzip_body(std::string first, std::unique_ptr<Body> rest) {
  return std::make_unique<GzipBody>(std::move(first), std::move(rest));
}

}  // namespace reflex
