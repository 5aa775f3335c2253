// Any bytes as a checkpoint. The first says what the rest is: with an even one, what follows a good head;
// with an odd one, the content of blocks that have the right sums, since sums refuse nearly everything and
// are no protection against intent. What is accepted can be asked, written, and read again.
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <string>

#include "checkpoint.h"
#include "query.h"
#include "schema.h"

namespace {

constexpr uint64_t kCap = 64 << 20;
constexpr uint64_t kOwnCap = 8 * kCap;  // of what we have written: its room may be more than its file's

int new_file() {
  const int fd = memfd_create("checkpoint", MFD_CLOEXEC);
  if (fd < 0) std::abort();
  return fd;
}

reflex::CheckpointHead head() {
  reflex::CheckpointHead made = reflex::checkpoint_head(reflex::schema());
  made.id[0] = 7;
  return made;
}

bool go_on(size_t) { return true; }

// Closes the file.
reflex::SnapshotPtr read(int fd, uint64_t cap) {
  if (lseek(fd, 0, SEEK_SET) != 0) std::abort();
  reflex::SnapshotPtr snapshot;
  std::string error;
  {
    reflex::CheckpointReader reader(fd);
    if (!reader.open(reflex::checkpoint_head(reflex::schema()), &error)) std::abort();
    const reflex::Status status = reflex::read_snapshot(reflex::schema(), cap, &reader, &snapshot);
    if (status.ok() != (snapshot != nullptr)) std::abort();
  }
  close(fd);
  return snapshot;
}

int written(const uint8_t* data, size_t size, bool content) {
  const int fd = new_file();
  reflex::CheckpointWriter writer(fd, head(), go_on);
  std::string error;
  if (content) {
    writer.write(data, size);
    if (!writer.finish(&error)) std::abort();
  } else if (::write(fd, data, size) != static_cast<ssize_t>(size)) {
    std::abort();
  }
  return fd;
}

void ask(const reflex::Snapshot& snapshot) {
  reflex::QueryEngine engine(reflex::schema(), {1 << 16, 32, 10'000, 1 << 22, 500});
  for (const reflex::TableDef& table : reflex::schema().tables) {
    for (const char* fields :
         {" { * }", " { ... }", "(ORDER BY id DESC LIMIT 3) { id }", "(id = 1) { id }"}) {
      std::string answer;
      const int status = engine.answer(snapshot, std::string(table.name) + fields, &answer);
      if (status != 200 && status != 400 && status != 422) std::abort();
    }
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const reflex::SnapshotPtr snapshot = read(written(data + 1, size - 1, data[0] % 2 == 1), kCap);
  if (snapshot == nullptr) return 0;
  ask(*snapshot);
  const int fd = new_file();
  reflex::CheckpointWriter writer(fd, head(), go_on);
  reflex::write_snapshot(reflex::schema(), *snapshot, &writer);
  std::string error;
  if (!writer.finish(&error) || read(fd, kOwnCap) == nullptr) std::abort();
  return 0;
}
