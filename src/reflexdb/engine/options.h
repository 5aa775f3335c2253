// What may be asked of the server on its command line (doc/launch.md), each option declared once with
// default, range and meaning.
#pragma once

#include <cstdint>
#include <string>

#include "log.h"
#include "query.h"

namespace reflex::net {

// A sanitizer's own work needs more of the system than a server does.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
inline constexpr bool kSandboxed = false;
#else
inline constexpr bool kSandboxed = true;
#endif

struct Options {
  std::string dir;
  int listen_fd = -1;
  std::string listen;  // HOST:PORT, numeric
  uint64_t memory_cap_mb = 0;
  uint32_t threads = 0;
  LogLevel log_level = LogLevel::kInfo;
  bool sandbox = kSandboxed;
  Limits limits;
  uint32_t max_connections = 12'000;
  uint32_t max_live_queries = 1'000;
  uint32_t header_timeout_ms = 10'000;
  uint32_t idle_timeout_ms = 75'000;  // longer than proxies keep an idle connection: 60 s
  uint32_t write_timeout_ms = 30'000;
  uint32_t default_wait_ms = 2'000;
  uint32_t max_wait_ms = 30'000;
  uint32_t checkpoint_s = 0;
  uint32_t checkpoint_mb_s = 100;
};

enum class Invocation { kServe, kHelp, kVersion, kSchema, kWrong };

// Fills `*options` from the arguments. kWrong leaves one sentence in `*error`: what was wrong with which
// argument.
Invocation parse_options(int argc, const char* const* argv, Options* options, std::string* error);

std::string help_text();

// The plan's fingerprint and the engine's version as a line of JSON.
std::string schema_text(const SchemaDef& schema);

std::string hex(std::span<const uint8_t> bytes);

}  // namespace reflex::net
