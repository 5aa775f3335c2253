// Any bytes as what sync sends. Errors are answers; whatever is committed can be asked.
#include <cstdint>
#include <cstdlib>
#include <string>

#include "query.h"
#include "session.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  fuzz::Session session;
  session.feed({data, size});
  if (session.snapshot() == nullptr) return 0;
  reflex::QueryEngine engine(reflex::schema(), {1 << 16, 32, 10'000, 1 << 22, 500});
  for (const reflex::TableDef& table : reflex::schema().tables) {
    std::string answer;
    const int status = engine.answer(*session.snapshot(), std::string(table.name) + " { * }", &answer);
    if (status != 200 && status != 400 && status != 422) std::abort();
  }
  return 0;
}
