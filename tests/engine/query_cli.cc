// The engine's store and query language without a network, for tests: orders on standard input, answers on
// standard output.
//
// An order is u8 kind, u32 length, body. B begins a snapshot (u64 memory cap in bytes), T and K name a table
// (u32), R carries rows, C commits, X begins changes (u64 memory cap in bytes), which D carries, T and R
// within them replace a table and E commits, P moves the position, L sets limits (five u64), Q asks, A asks
// with parameters (a query and pairs of name and value, each ended by a zero byte), N tells where the next
// page starts, Z compresses what follows a u32, so many bytes at a time, S writes the snapshot to a file, O
// reads one (u64 memory cap in bytes, then the name), Y makes a file's checksums right again. Each is
// answered with u32 status, u32 length, body: 0 or 1 and an error for snapshots, the HTTP status for queries.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "changes.h"
#include "checkpoint.h"
#include "gzip.h"
#include "query.h"
#include "schema.h"
#include "snapshot.h"
#include "utf8.h"

// Of the sanitizer's runtime; its header does not come with every compiler.
extern "C" int __sanitizer_install_malloc_and_free_hooks(void (*on_malloc)(const volatile void*, size_t),
                                                         void (*on_free)(const volatile void*));

namespace {

uint64_t allocations = 0;

void count_allocation(const volatile void*, size_t) { ++allocations; }
void ignore_free(const volatile void*) {}

bool read_all(void* to, size_t size) { return std::fread(to, 1, size, stdin) == size; }

void reply(uint32_t status, const std::string& body) {
  const auto size = static_cast<uint32_t>(body.size());
  std::fwrite(&status, sizeof(status), 1, stdout);
  std::fwrite(&size, sizeof(size), 1, stdout);
  std::fwrite(body.data(), 1, body.size(), stdout);
  std::fflush(stdout);
}

void reply(const reflex::Status& status) {
  reply(status.ok() ? 0 : 1, status.ok() ? "" : status.code + ": " + status.message);
}

template <typename T>
T number(const std::vector<uint8_t>& body, size_t index = 0) {
  T value{};
  if (body.size() >= (index + 1) * sizeof(T)) std::memcpy(&value, body.data() + index * sizeof(T), sizeof(T));
  return value;
}

class Session {
 public:
  Session() : engine_(new reflex::QueryEngine(reflex::schema(), {})) {}

  void order(char kind, const std::vector<uint8_t>& body) {
    switch (kind) {
      case 'B':
        loader_ = std::make_unique<reflex::Loader>(reflex::schema(), snapshot_, number<uint64_t>(body), 0,
                                                   "start", reflex::Origin{1, "binlog"});
        return reply(0, "");
      case 'X':
        changes_ = std::make_unique<reflex::Changes>(reflex::schema(), snapshot_, number<uint64_t>(body));
        return reply(0, "");
      case 'D':
        return reply(changes_->rows(body));
      case 'E':
        return commit_changes();
      case 'T':
        if (changes_ != nullptr) return reply(changes_->replace(number<uint32_t>(body)));
        return reply(loader_->table(number<uint32_t>(body)));
      case 'a':
        return reply(changes_->part(body));
      case 'k':
        return reply(changes_->keys(body));
      case 'f': {
        std::string found;
        const reflex::Status status = changes_->search(body, &found);
        return status.ok() ? reply(0, found) : reply(status);
      }
      case 'K':
        return reply(loader_->keep(number<uint32_t>(body)));
      case 'R':
        if (changes_ != nullptr) return reply(changes_->replacement(body));
        return reply(loader_->rows(body));
      case 'C':
        return reply(loader_->commit(&snapshot_));
      case 'P':
        snapshot_ = reflex::with_position(snapshot_, 7, "later", "binlog");
        return reply(0, "");
      case 'I':
        return reply(0, facts());
      case 'L':
        return set_limits(body);
      case 'F':
        return fold(body);
      case 'S':
        return save(std::string(body.begin(), body.end()));
      case 'O':
        return open_file(number<uint64_t>(body), std::string(body.begin() + 8, body.end()));
      case 'Y':
        return mend(std::string(body.begin(), body.end()));
      case 'N':
        return reply(0, std::string(engine_->next_page()));
      case 'A':
        return ask_with(body);
      case 'Z':
        return compress(body);
      default:
        return ask(body);
    }
  }

 private:
  void save(const std::string& name) {
    const int fd = ::open(name.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
    reflex::CheckpointHead head = reflex::checkpoint_head(reflex::schema());
    for (size_t i = 0; i < head.id.size(); ++i) head.id[i] = static_cast<uint8_t>(i);
    reflex::CheckpointWriter out(fd, head, [](size_t) { return true; });
    reflex::write_snapshot(reflex::schema(), *snapshot_, &out);
    std::string error;
    const bool done = out.finish(&error);
    ::close(fd);
    reply(done ? 0 : 1, error);
  }

  void open_file(uint64_t cap, const std::string& name) {
    const int fd = ::open(name.c_str(), O_RDONLY);
    reflex::CheckpointReader in(fd);
    reflex::SnapshotPtr found;
    std::string why;
    if (!in.open(reflex::checkpoint_head(reflex::schema()), &why)) {
      ::close(fd);
      return reply(1, "foreign: " + why);
    }
    const reflex::Status status = reflex::read_snapshot(reflex::schema(), cap, &in, &found);
    ::close(fd);
    if (status.ok()) snapshot_ = found;
    reply(status);
  }

  // For files that were changed on purpose: whoever reads them must look at more than sums.
  static void mend(const std::string& name) {
    std::FILE* file = std::fopen(name.c_str(), "rb+");
    std::string all(1 << 24, '\0');
    all.resize(std::fread(all.data(), 1, all.size(), file));
    reflex::CheckpointHead head;
    std::memcpy(&head, all.data(), sizeof head);
    head.sum = reflex::checksum(&head, sizeof head - 8, 0);
    std::memcpy(all.data(), &head, sizeof head);
    for (size_t at = sizeof head; at + sizeof(reflex::BlockHead) <= all.size();) {
      reflex::BlockHead block;
      std::memcpy(&block, all.data() + at, sizeof block);
      const size_t begin = (at + sizeof block + reflex::kBlockAlign - 1) & ~(reflex::kBlockAlign - 1);
      if (begin > all.size() || block.size > all.size() - begin) break;
      char about[40];
      std::memcpy(about, &block, 24);
      std::memcpy(about + 24, head.id.data(), 16);
      block.sum = reflex::checksum(all.data() + begin, block.size, reflex::checksum(about, sizeof about, 0));
      std::memcpy(all.data() + at, &block, sizeof block);
      at = begin + block.size;
    }
    std::rewind(file);
    std::fwrite(all.data(), 1, all.size(), file);
    std::fclose(file);
    reply(0, "");
  }

  void commit_changes() {
    const std::unique_ptr<reflex::Changes> changes = std::move(changes_);
    reply(changes->commit(7, "changed", {1, "binlog"}, &snapshot_));
    differences_ = changes->differences();
  }

  std::string facts() const {
    const reflex::SnapshotInfo& info = reflex::info(*snapshot_);
    std::string text = "{\"version\":" + std::to_string(info.version) +
                       ",\"bytes\":" + std::to_string(info.bytes) + ",\"position\":\"" + info.position +
                       "\",\"hits\":" + std::to_string(engine_->plan_hits()) +
                       ",\"allocations\":" + std::to_string(allocated_) +
                       ",\"differences\":" + std::to_string(differences_) + ",\"rows\":[";
    for (const uint64_t rows : info.row_counts)
      text += (text.back() == '[' ? "" : ",") + std::to_string(rows);
    return text + "]}";
  }

  void set_limits(const std::vector<uint8_t>& body) {
    reflex::Limits limits;
    limits.max_query_bytes = static_cast<uint32_t>(number<uint64_t>(body, 0));
    limits.max_depth = static_cast<uint32_t>(number<uint64_t>(body, 1));
    limits.max_rows = number<uint64_t>(body, 2);
    limits.max_answer_bytes = number<uint64_t>(body, 3);
    limits.max_query_ms = static_cast<uint32_t>(number<uint64_t>(body, 4));
    engine_ = std::make_unique<reflex::QueryEngine>(reflex::schema(), limits);
    reply(0, "");
  }

  // Every code point's folding, as u32s.
  static void fold(const std::vector<uint8_t>&) {
    std::string out;
    for (uint32_t code = 0; code <= 0x10FFFF; ++code) {
      const uint32_t folded = reflex::fold_case(code);
      out.append(reinterpret_cast<const char*>(&folded), sizeof(folded));
    }
    reply(0, out);
  }

  static void compress(const std::vector<uint8_t>& body) {
    const std::string_view text(reinterpret_cast<const char*>(body.data()) + 4, body.size() - 4);
    const size_t step = number<uint32_t>(body);
    reflex::Gzip gzip;
    std::string out;
    for (size_t i = 0; i < text.size(); i += step) gzip.add(text.substr(i, step), false, &out);
    gzip.add({}, true, &out);
    reply(0, out);
  }

  void ask_with(const std::vector<uint8_t>& body) {
    std::vector<std::string> texts(1);
    for (const uint8_t byte : body) {
      if (byte == 0) {
        texts.emplace_back();
      } else {
        texts.back().push_back(static_cast<char>(byte));
      }
    }
    std::vector<reflex::Parameter> parameters;
    for (size_t i = 1; i + 1 < texts.size(); i += 2) parameters.push_back({texts[i], texts[i + 1]});
    std::string out;
    const int status = engine_->answer(*snapshot_, texts[0], parameters, &out);
    reply(static_cast<uint32_t>(status), out);
  }

  void ask(const std::vector<uint8_t>& body) {
    // A copy of exactly this size, so that the sanitizer sees a read beyond it.
    const std::unique_ptr<char[]> exact(new char[body.size()]);
    std::copy(body.begin(), body.end(), exact.get());
    std::string out = "kept";
    out.reserve(1 << 16);
    const uint64_t before = allocations;
    const int status = engine_->answer(*snapshot_, {exact.get(), body.size()}, &out);
    allocated_ = allocations - before;
    reply(static_cast<uint32_t>(status), out.substr(4));
  }

  std::unique_ptr<reflex::QueryEngine> engine_;
  std::unique_ptr<reflex::Loader> loader_;
  std::unique_ptr<reflex::Changes> changes_;
  reflex::SnapshotPtr snapshot_;
  uint64_t allocated_ = 0;    // by the last query
  uint64_t differences_ = 0;  // of the last group of changes
};

}  // namespace

int main() {
  __sanitizer_install_malloc_and_free_hooks(count_allocation, ignore_free);
  Session session;
  char kind = 0;
  uint32_t size = 0;
  while (read_all(&kind, 1) && read_all(&size, sizeof(size))) {
    std::vector<uint8_t> body(size);
    if (!read_all(body.data(), size)) return 1;
    session.order(kind, body);
  }
  return 0;
}
