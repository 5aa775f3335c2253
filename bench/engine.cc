// The query engine without a network, for `bench/engine.py`: what a query costs in instructions and CPU time.
//
// Takes a file of rows (u32 table, u32 length, the body of a ROWS frame, again and again), then orders on
// standard input, one a line: how often, and a query; a % in the query is replaced by a number that changes
// from one time to the next, from 1 to the number on the command line; !NAME is one of specialised.h's.
// Answers a line each: bytes of the last answer, nanoseconds of CPU a query, status, and a checksum of
// answers. Of several rounds the fastest counts: whatever else the machine does can only make one slower.
#include <time.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <string>
#include <vector>

#include "query.h"
#include "schema.h"
#include "snapshot.h"
#include "specialised.h"

namespace {

constexpr int kRounds = 7;

int64_t cpu_ns() {
  timespec now{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

bool check(const reflex::Status& status) {
  if (!status.ok()) std::fprintf(stderr, "%s\n", status.message.c_str());
  return status.ok();
}

bool load(const char* path, reflex::SnapshotPtr* out) {
  std::FILE* file = std::fopen(path, "rb");
  if (file == nullptr) return false;
  reflex::Loader loader(reflex::schema(), nullptr, 0, 0, "bench");
  uint32_t head[2];
  uint32_t open = UINT32_MAX;
  std::vector<uint8_t> body;
  while (std::fread(head, sizeof head, 1, file) == 1) {
    body.resize(head[1]);
    if (std::fread(body.data(), 1, body.size(), file) != body.size()) return false;
    if (head[0] != open && !check(loader.table(open = head[0]))) return false;
    if (!check(loader.rows(body))) return false;
  }
  std::fclose(file);
  return check(loader.commit(out));
}

constexpr uint64_t kTexts = 997;

uint64_t argument(uint64_t i, uint64_t most) { return i % kTexts * 7919 % most + 1; }

// Tells bytes and a checksum of the first answers, nanoseconds and status.
template <typename Ask>
void measure(uint64_t times, std::string* out, Ask ask) {
  int status = 0;
  size_t sum = 0;
  for (uint64_t i = 0; i < times / 10 + 1; ++i) {
    out->clear();
    status = ask(i);
    if (i < kTexts) sum = sum * 31 + std::hash<std::string>{}(*out);
  }
  int64_t best = INT64_MAX;
  for (int round = 0; round < kRounds; ++round) {
    const int64_t begin = cpu_ns();
    for (uint64_t i = 0; i < times; ++i) {
      out->clear();
      status = ask(i);
    }
    best = std::min(best, cpu_ns() - begin);
  }
  std::printf("%zu %.0f %d %zu\n", out->size(), static_cast<double>(best) / static_cast<double>(times),
              status, sum);
  std::fflush(stdout);
}

}  // namespace

int main(int argc, char** argv) {
  reflex::SnapshotPtr snapshot;
  if (argc != 3 || !load(argv[1], &snapshot)) return 1;
  const uint64_t most = std::strtoull(argv[2], nullptr, 10);
  reflex::QueryEngine engine(reflex::schema(), {});
  char line[1 << 16];
  while (std::fgets(line, sizeof line, stdin) != nullptr) {
    char* rest = nullptr;
    const uint64_t times = std::strtoull(line, &rest, 10);
    const std::string query(rest, std::strcspn(rest, "\n"));
    std::string out;
    if (query.starts_with(" !")) {
      const bench::Answer answer = bench::specialised(std::string_view(query).substr(2));
      if (answer == nullptr) return 1;
      measure(times, &out, [&](uint64_t i) {
        answer(*snapshot, static_cast<int64_t>(argument(i, most)), &out);
        return 200;
      });
      continue;
    }
    const size_t hole = query.find('%');
    std::vector<std::string> texts;
    for (uint64_t i = 0; i < kTexts; ++i) {
      texts.push_back(query);
      if (hole != std::string::npos) texts.back().replace(hole, 1, std::to_string(argument(i, most)));
    }
    measure(times, &out, [&](uint64_t i) { return engine.answer(*snapshot, texts[i % kTexts], &out); });
  }
  return 0;
}
