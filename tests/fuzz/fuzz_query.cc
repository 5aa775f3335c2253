// Any bytes as a query, asked twice: what is found in the plan cache must say what was said without it. The
// rows come from the file that REFLEXDB_FUZZ_ROWS names, which is an input of the feed's target.
#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "query.h"
#include "session.h"

namespace {

reflex::SnapshotPtr rows() {
  const char* path = std::getenv("REFLEXDB_FUZZ_ROWS");
  std::ifstream file(path != nullptr ? path : "", std::ios::binary);
  const std::vector<uint8_t> frames((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  fuzz::Session session;
  session.feed(frames);
  if (session.snapshot() == nullptr) std::abort();
  return session.snapshot();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const reflex::SnapshotPtr snapshot = rows();
  static reflex::QueryEngine engine(reflex::schema(), {1 << 16, 32, 1000, 1 << 20, 10'000});
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const reflex::Parameter parameters[] = {{"a", "1"}, {"b", "x"}};
  std::string first;
  std::string second;
  const int status = engine.answer(*snapshot, text, parameters, &first);
  if (engine.answer(*snapshot, text, parameters, &second) != status || first != second) std::abort();
  if (status != 200 && status != 400 && status != 413 && status != 422) std::abort();
  return 0;
}
