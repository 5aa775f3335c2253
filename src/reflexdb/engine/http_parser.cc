#include "http_parser.h"

#include <algorithm>
#include <array>
#include <cassert>
#include <cstring>
#include <utility>

namespace reflex::net {
namespace {

using Result = HttpParser::Result;

enum CharClass : uint8_t { kToken = 1, kValue = 2, kTarget = 4, kHost = 8 };

constexpr std::array<uint8_t, 256> make_classes() {
  std::array<uint8_t, 256> classes{};
  for (int c = 0; c < 256; ++c) {
    const bool alnum = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    uint8_t bits = 0;
    if (alnum || std::string_view("!#$%&'*+-.^_`|~").find(static_cast<char>(c)) != std::string_view::npos)
      bits |= kToken;
    if (c == '\t' || (c >= 0x20 && c != 0x7F)) bits |= kValue;
    if (c > 0x20 && c < 0x7F && c != '#') bits |= kTarget;
    if (alnum || std::string_view("-._~:[]%!$&'()*+,;=").find(static_cast<char>(c)) != std::string_view::npos)
      bits |= kHost;
    classes[static_cast<size_t>(c)] = bits;
  }
  classes[0] = 0;
  return classes;
}

constexpr std::array<uint8_t, 256> kClasses = make_classes();

bool all_of(std::string_view text, CharClass wanted) {
  uint8_t common = 0xFF;
  for (char c : text) common &= kClasses[static_cast<uint8_t>(c)];
  return (common & wanted) != 0;
}

// all_of(text, kValue), with a glance at eight bytes that are all plain.
bool is_value(std::string_view text) {
  constexpr uint64_t kOnes = 0x0101010101010101;
  for (; text.size() >= 8; text.remove_prefix(8)) {
    uint64_t word = 0;
    memcpy(&word, text.data(), 8);
    const uint64_t deleted = word ^ (kOnes * 0x7F);
    const uint64_t special = ((word - kOnes * 0x20) & ~word) | ((deleted - kOnes) & ~deleted);
    if ((special & (kOnes * 0x80)) != 0 && !all_of(text.substr(0, 8), kValue)) return false;
  }
  return all_of(text, kValue);
}

// `lower` is in lower case and holds letters, digits and '-' only, of which each but the letters has the bit
// that makes a letter small already; `text` has no control characters, which that bit would turn into others.
bool same_name(std::string_view text, std::string_view lower) {
  assert(text.size() == lower.size());
  for (size_t i = 0; i < text.size(); ++i) {
    if ((text[i] | 0x20) != lower[i]) return false;
  }
  return true;
}

bool same_text(std::string_view text, std::string_view lower) {
  return text.size() == lower.size() && same_name(text, lower);
}

std::string_view trim(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

}  // namespace

void HttpParser::reset() { *this = HttpParser(limits_); }

Result HttpParser::fail(int status, const char* code, const char* message) {
  error_ = {status, code, message};
  return Result::kError;
}

Result HttpParser::next_line(const char* data, size_t size, size_t limit, std::string_view* line) {
  const void* found = scan_ < size ? memchr(data + scan_, '\n', size - scan_) : nullptr;
  if (found == nullptr) {
    scan_ = size;
    return size - pos_ >= limit ? too_long() : Result::kNeedMore;
  }
  const size_t end = static_cast<size_t>(static_cast<const char*>(found) - data);
  if (end - pos_ >= limit) return too_long();
  if (end == pos_ || data[end - 1] != '\r') return bad("A line must end in CR LF.");
  *line = {data + pos_, end - 1 - pos_};
  pos_ = end + 1;
  scan_ = pos_;
  return Result::kRequest;
}

Result HttpParser::too_long() {
  if (state_ == State::kRequestLine)
    return fail(414, "uri_too_long", "The request line is longer than 16384 bytes.");
  if (state_ == State::kChunkSize) return bad("The chunk extensions are too long.");
  return fail(431, "headers_too_large", "The header fields are longer than 32768 bytes.");
}

Result HttpParser::request_line(const char* data, std::string_view line) {
  const size_t first = line.find(' ');
  const size_t last = line.rfind(' ');
  if (first == std::string_view::npos || last == first || first == 0) {
    return bad("The request line must be: method, one space, target, one space, version.");
  }
  const std::string_view method = line.substr(0, first);
  const std::string_view version = line.substr(last + 1);
  if (!all_of(method, kToken)) return bad("The method has a character that no method may have.");
  auto digit = [&](size_t i) { return version[i] >= '0' && version[i] <= '9'; };
  if (version.size() != 8 || !version.starts_with("HTTP/") || !digit(5) || version[6] != '.' || !digit(7)) {
    return bad("The version must be HTTP/1.1.");
  }
  if (version[5] != '1' || version[7] > '1') {
    return fail(505, "version_not_supported", "Only HTTP/1.1 and HTTP/1.0 are spoken here.");
  }
  http_1_0_ = version[7] == '0';
  if (method == "GET") {
    method_ = Method::kGet;
  } else if (method == "POST") {
    method_ = Method::kPost;
  } else if (method == "HEAD") {
    method_ = Method::kHead;
  } else {
    method_ = Method::kOther;
    static constexpr std::string_view kOthers[] = {"PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"};
    if (std::find(std::begin(kOthers), std::end(kOthers), method) == std::end(kOthers)) {
      return fail(501, "not_implemented", "This method is not implemented.");
    }
  }
  return target(data, line.substr(first + 1, last - first - 1));
}

Result HttpParser::target(const char* data, std::string_view text) {
  if (text.empty() || !all_of(text, kTarget))
    return bad("The target has a character that must be percent-encoded.");
  if (text[0] != '/' && text.size() > 7 && same_name(text.substr(0, 4), "http") &&
      text.substr(4, 3) == "://") {
    // The absolute form, as sent to proxies: the authority says nothing here that Host does not.
    const size_t slash = text.find_first_of("/?", 7);
    if (slash == 7 || slash == std::string_view::npos || text[slash] != '/')
      return bad("The target must begin with a slash.");
    text.remove_prefix(slash);
  }
  if (text[0] != '/') return bad("The target must begin with a slash.");
  const size_t mark = std::min(text.find('?'), text.size());
  const uint32_t begin = static_cast<uint32_t>(text.data() - data);
  path_ = {begin, static_cast<uint32_t>(mark)};
  if (mark < text.size()) {
    query_ = {begin + static_cast<uint32_t>(mark) + 1, static_cast<uint32_t>(text.size() - mark - 1)};
  }
  return Result::kRequest;
}

Result HttpParser::field(const char* data, std::string_view line, bool trailer) {
  if (++fields_ > limits_.fields)
    return fail(431, "headers_too_large", "There are more than 100 header fields.");
  if (line[0] == ' ' || line[0] == '\t') return bad("A header field must not be folded over lines.");
  const size_t colon = line.find(':');
  if (colon == std::string_view::npos || colon == 0 || !all_of(line.substr(0, colon), kToken)) {
    return bad("A header field must be a name, a colon and a value.");
  }
  const std::string_view value = trim(line.substr(colon + 1));
  if (!is_value(value)) return bad("A header field has a control character in its value.");
  return trailer ? Result::kRequest : known_field(data, line.substr(0, colon), value);
}

Result HttpParser::known_field(const char* data, std::string_view name, std::string_view value) {
  const Range range = {static_cast<uint32_t>(value.data() - data), static_cast<uint32_t>(value.size())};
  switch (name.size()) {
    case 4:
      if (!same_name(name, "host")) break;
      if (has_host_) return bad("There must be one Host field.");
      has_host_ = true;
      if (!all_of(value, kHost)) return bad("The Host field is not a host and a port.");
      break;
    case 6:
      if (same_name(name, "accept")) return add_line(range, &accept_);
      if (!same_name(name, "expect")) break;
      if (has_expect_ || !same_text(value, "100-continue")) {
        return fail(417, "expectation_failed", "The only expectation that can be met is 100-continue.");
      }
      has_expect_ = true;
      break;
    case 10:
      if (same_name(name, "connection")) connection(value);
      break;
    case 13:
      if (same_name(name, "authorization")) {
        if (has_authorization_) return bad("There must be one Authorization field.");
        has_authorization_ = true;
        authorization_ = range;
      } else if (same_name(name, "if-none-match")) {
        if_none_match_ = range;
      } else if (same_name(name, "last-event-id")) {
        last_event_id_ = range;
      }
      break;
    case 14:
      if (same_name(name, "content-length")) return content_length(value);
      break;
    case 15:
      if (same_name(name, "accept-encoding")) return add_line(range, &accept_encoding_);
      break;
    case 17:
      if (same_name(name, "transfer-encoding")) return transfer_encoding(value);
      break;
    case 18:
      if (!same_name(name, "x-reflexdb-wait-ms")) break;
      if (has_wait_ms_) return bad("There must be one X-ReflexDB-Wait-Ms field.");
      has_wait_ms_ = true;
      wait_ms_ = range;
      break;
    case 23:
      if (!same_name(name, "x-reflexdb-min-position")) break;
      if (has_min_position_) return bad("There must be one X-ReflexDB-Min-Position field.");
      has_min_position_ = true;
      min_position_ = range;
      break;
    default:
      break;
  }
  return Result::kRequest;
}

Result HttpParser::content_length(std::string_view value) {
  if (has_length_) return bad("There must be one Content-Length field.");
  has_length_ = true;
  const auto is_digit = [](char c) { return c >= '0' && c <= '9'; };
  if (value.empty() || !std::all_of(value.begin(), value.end(), is_digit)) {
    return bad("Content-Length must be a whole number.");
  }
  left_ = 0;
  for (char c : value) {
    // Saturates: what is over the limit is refused, however large.
    if (left_ <= limits_.body_bytes) left_ = left_ * 10 + static_cast<uint64_t>(c - '0');
  }
  return Result::kRequest;
}

Result HttpParser::transfer_encoding(std::string_view value) {
  if (has_encoding_ || value.empty())
    return bad("There must be one Transfer-Encoding field, and it must be chunked.");
  has_encoding_ = true;
  if (!same_text(value, "chunked")) {
    return fail(501, "not_implemented", "The only transfer coding that is understood is chunked.");
  }
  return Result::kRequest;
}

void HttpParser::connection(std::string_view value) {
  while (!value.empty()) {
    const size_t comma = std::min(value.find(','), value.size());
    if (same_text(trim(value.substr(0, comma)), "close")) close_ = true;
    value.remove_prefix(std::min(comma + 1, value.size()));
  }
}

Result HttpParser::head_end() {
  if (!has_host_ && !http_1_0_) return bad("The Host field is missing.");
  if (has_encoding_ && has_length_)
    return bad("Content-Length and Transfer-Encoding must not be given together.");
  if (has_encoding_ && http_1_0_) return bad("HTTP/1.0 has no Transfer-Encoding.");
  body_begin_ = body_end_ = pos_;
  if (has_encoding_) {
    state_ = State::kChunkSize;
    expects_ = has_expect_ && !http_1_0_;
    return Result::kRequest;
  }
  if (left_ > limits_.body_bytes)
    return fail(413, "query_too_large", "The body is longer than this instance accepts.");
  expects_ = has_expect_ && !http_1_0_ && left_ > 0;
  state_ = State::kLength;
  return Result::kRequest;
}

Result HttpParser::chunk_size(std::string_view line) {
  uint64_t size = 0;
  size_t i = 0;
  for (; i < line.size(); ++i) {
    const char c = line[i];
    const char lower = static_cast<char>(c | 0x20);
    int digit = -1;
    if (c >= '0' && c <= '9') digit = c - '0';
    if (lower >= 'a' && lower <= 'f') digit = lower - 'a' + 10;
    if (digit < 0) break;
    if (i == 16) return bad("A chunk size has more than 16 digits.");
    size = size << 4 | static_cast<uint64_t>(digit);
  }
  if (i == 0) return bad("A chunk must begin with its size in hexadecimal.");
  if (i < line.size()) {
    if (line[i] != ';' || !all_of(line.substr(i), kValue))
      return bad("A chunk size is followed by something else.");
    extension_bytes_ += line.size() - i;
    if (extension_bytes_ > limits_.chunk_extension_bytes) return bad("The chunk extensions are too long.");
  }
  if (size > limits_.body_bytes - (body_end_ - body_begin_)) {
    return fail(413, "query_too_large", "The body is longer than this instance accepts.");
  }
  left_ = size;
  state_ = size == 0 ? State::kTrailers : State::kChunkData;
  head_begin_ = pos_;
  if (size == 0) fields_ = 0;
  return Result::kRequest;
}

// Forgets the chunk frames parsed so far, so that a body of tiny chunks takes no more room than its content.
void HttpParser::join(char* data, size_t* size) {
  const size_t gap = pos_ - body_end_;
  if (gap == 0) return;
  const size_t scanned = scan_ > pos_ ? scan_ - pos_ : 0;
  memmove(data + body_end_, data + pos_, *size - pos_);
  pos_ = body_end_;
  scan_ = pos_ + scanned;
  // In trailers, what was dropped still counts against their limit: head_begin_ moves along, down to wrapping
  // below zero.
  head_begin_ -= gap;
  *size -= gap;
}

Result HttpParser::feed(char* data, size_t* size) {
  assert(state_ != State::kDone && pos_ <= *size);
  for (;;) {
    std::string_view line;
    Result result = Result::kRequest;
    switch (state_) {
      case State::kRequestLine:
        result = next_line(data, *size, limits_.request_line_bytes, &line);
        if (result != Result::kRequest) return result;
        if (line.empty() && !skipped_line_) {
          skipped_line_ = true;  // RFC 9112, 2.2: an empty line before a request is forgiven
          break;
        }
        result = request_line(data, line);
        state_ = State::kFields;
        head_begin_ = pos_;
        break;
      case State::kFields:
        result = next_line(data, *size, limits_.head_bytes - (pos_ - head_begin_), &line);
        if (result != Result::kRequest) return result;
        result = line.empty() ? head_end() : field(data, line, false);
        break;
      case State::kLength:
        if (*size - body_begin_ >= left_) {
          body_end_ = pos_ = body_begin_ + left_;
          state_ = State::kDone;
          return Result::kRequest;
        }
        if (!std::exchange(expects_, false)) return Result::kNeedMore;
        return Result::kContinue;
      case State::kChunkSize:
        if (expects_ && pos_ == *size) {
          expects_ = false;
          return Result::kContinue;
        }
        result = next_line(data, *size, 18 + limits_.chunk_extension_bytes, &line);
        if (result == Result::kNeedMore) join(data, size);
        if (result != Result::kRequest) return result;
        result = chunk_size(line);
        break;
      case State::kChunkData: {
        const size_t n = static_cast<size_t>(std::min<uint64_t>(left_, *size - pos_));
        memmove(data + body_end_, data + pos_, n);
        body_end_ += n;
        pos_ += n;
        left_ -= n;
        if (left_ > 0) {
          join(data, size);
          scan_ = pos_;
          return Result::kNeedMore;
        }
        state_ = State::kChunkEnd;
        break;
      }
      case State::kChunkEnd:
        if (*size - pos_ >= 1 && data[pos_] != '\r') return bad("A chunk must be followed by CR LF.");
        if (*size - pos_ < 2) {
          join(data, size);
          return Result::kNeedMore;
        }
        if (data[pos_ + 1] != '\n') return bad("A chunk must be followed by CR LF.");
        pos_ += 2;
        scan_ = pos_;
        state_ = State::kChunkSize;
        break;
      case State::kTrailers:
        result = next_line(data, *size, limits_.head_bytes - (pos_ - head_begin_), &line);
        if (result == Result::kNeedMore) join(data, size);
        if (result != Result::kRequest) return result;
        if (line.empty()) {
          state_ = State::kDone;
          return Result::kRequest;
        }
        result = field(data, line, true);
        break;
      case State::kDone:
        return bad("");
    }
    if (result == Result::kError) return result;
  }
}

HttpParser::Result HttpParser::add_line(Range range, Ranges* to) {
  if (to->count == FieldLines::kMost) return bad("Accept and Accept-Encoding may stand in four lines each.");
  to->lines[to->count++] = range;
  return Result::kRequest;
}

HttpRequest HttpParser::request(const char* data) const {
  auto view = [data](Range range) { return std::string_view(data + range.begin, range.size); };
  HttpRequest request;
  request.method = method_;
  request.http_1_0 = http_1_0_;
  request.keep_alive = !http_1_0_ && !close_;
  request.has_length = has_length_ || has_encoding_;
  request.has_authorization = has_authorization_;
  request.path = view(path_);
  request.query = view(query_);
  request.authorization = view(authorization_);
  request.if_none_match = view(if_none_match_);
  request.has_min_position = has_min_position_;
  request.min_position = view(min_position_);
  request.has_wait_ms = has_wait_ms_;
  request.wait_ms = view(wait_ms_);
  request.last_event_id = view(last_event_id_);
  const auto lines = [&view](const Ranges& from, FieldLines* to) {
    to->count = from.count;
    for (size_t i = 0; i < from.count; ++i) to->lines[i] = view(from.lines[i]);
  };
  lines(accept_, &request.accept);
  lines(accept_encoding_, &request.accept_encoding);
  request.body = {data + body_begin_, body_end_ - body_begin_};
  return request;
}

}  // namespace reflex::net
