// Any bytes as HTTP: the first says how they arrive cut, the rest is what a client sends on one connection.
// The outcome must not depend on the cuts.
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>

#include "http_parser.h"

namespace {

using reflex::net::HttpLimits;
using reflex::net::HttpParser;
using reflex::net::HttpRequest;

// What is understood of `text`, given `step` bytes at a time; 0 is all at once. Each call sees a copy of
// exactly its size, so that the sanitizer sees a read beyond it.
std::string outcome(const std::string& text, size_t step) {
  HttpLimits limits;
  limits.body_bytes = 4096;
  HttpParser parser(limits);
  std::string told;
  std::string pending;
  size_t at = 0;
  bool more = true;
  while (more) {
    const size_t count = step == 0 ? text.size() - at : std::min(step, text.size() - at);
    pending.append(text, at, count);
    at += count;
    more = at < text.size();
    for (;;) {
      const std::unique_ptr<char[]> exact(new char[pending.size()]);
      pending.copy(exact.get(), pending.size());
      size_t size = pending.size();
      const HttpParser::Result result = parser.feed(exact.get(), &size);
      if (result == HttpParser::Result::kError)
        return told + "error " + std::to_string(parser.error().status);
      if (result == HttpParser::Result::kRequest) {
        const HttpRequest request = parser.request(exact.get());
        told.append(request.path).append("?").append(request.query).append(" ").append(request.body);
        told.append(request.authorization).append(request.keep_alive ? " keep\n" : " close\n");
        pending.assign(exact.get() + parser.consumed(), size - parser.consumed());
        parser.reset();
        if (pending.empty()) break;
        continue;
      }
      pending.assign(exact.get(), size);
      if (result == HttpParser::Result::kNeedMore) break;
    }
  }
  return told;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 2) return 0;
  const std::string text(reinterpret_cast<const char*>(data) + 1, size - 1);
  if (outcome(text, 0) != outcome(text, data[0] % 16 + 1)) std::abort();
  return 0;
}
