#include "options.h"

#include <charconv>
#include <cstring>
#include <limits>
#include <span>
#include <string_view>

#include "version.h"

namespace reflex::net {
namespace {

constexpr uint64_t kU32Max = std::numeric_limits<uint32_t>::max();

// An option that takes a whole number. `set` narrows safely: the value is within [min, max].
struct NumberOption {
  std::string_view name;
  std::string_view meaning;
  uint64_t min;
  uint64_t max;
  uint64_t (*get)(const Options&);
  void (*set)(Options&, uint64_t);
};

#define REFLEX_NUMBER(name, field, min, max, meaning)                                        \
  NumberOption {                                                                             \
    name, meaning, min, max, [](const Options& o) -> uint64_t { return uint64_t(o.field); }, \
        [](Options& o, uint64_t v) { o.field = static_cast<decltype(o.field)>(v); }          \
  }

const NumberOption kNumbers[] = {
    REFLEX_NUMBER("--memory-cap-mb", memory_cap_mb, 0, uint64_t{1} << 40,
                  "memory for rows and indexes; 0 is no cap"),
    REFLEX_NUMBER("--threads", threads, 0, 1024, "event loops; 0 is one per processor"),
    REFLEX_NUMBER("--max-query-bytes", limits.max_query_bytes, 1, 1 << 26, "longest query and request body"),
    REFLEX_NUMBER("--max-depth", limits.max_depth, 1, 1024, "nesting of one query"),
    REFLEX_NUMBER("--max-rows", limits.max_rows, 1, uint64_t{1} << 40,
                  "rows in one answer, all levels together"),
    REFLEX_NUMBER("--max-answer-bytes", limits.max_answer_bytes, 1, uint64_t{1} << 40, "longest answer"),
    REFLEX_NUMBER("--max-query-ms", limits.max_query_ms, 1, kU32Max, "longest time for one query"),
    REFLEX_NUMBER("--max-connections", max_connections, 1, 1'000'000,
                  "open client connections, all loops together"),
    REFLEX_NUMBER("--max-live-queries", max_live_queries, 0, 1'000'000,
                  "queries answered again on change, all loops together"),
    REFLEX_NUMBER("--header-timeout-ms", header_timeout_ms, 1, 86'400'000,
                  "from a request's first byte to the end of its head"),
    REFLEX_NUMBER("--idle-timeout-ms", idle_timeout_ms, 1, 86'400'000,
                  "silence between requests, and from a head to the end of its body"),
    REFLEX_NUMBER("--write-timeout-ms", write_timeout_ms, 1, 86'400'000,
                  "for a client to take the next 64 KiB of an answer"),
    REFLEX_NUMBER("--default-wait-ms", default_wait_ms, 0, 86'400'000,
                  "for a source position, where a request names no time"),
    REFLEX_NUMBER("--max-wait-ms", max_wait_ms, 0, 86'400'000,
                  "for a source position, whatever a request names"),
    REFLEX_NUMBER("--checkpoint-s", checkpoint_s, 0, 86'400,
                  "between checkpoints in the directory while there are changes; 0 is no checkpoint"),
    REFLEX_NUMBER("--checkpoint-mb-s", checkpoint_mb_s, 1, 1'000'000,
                  "how fast a checkpoint is written, in megabytes a second"),
};

bool parse_number(std::string_view text, uint64_t* value) {
  auto [end, status] = std::from_chars(text.data(), text.data() + text.size(), *value);
  return status == std::errc() && end == text.data() + text.size() && !text.empty();
}

bool set_number(const NumberOption& option, std::string_view text, Options* options, std::string* error) {
  uint64_t value = 0;
  if (!parse_number(text, &value) || value < option.min || value > option.max) {
    *error = std::string(option.name) + " needs a whole number from " + std::to_string(option.min) + " to " +
             std::to_string(option.max) + ".";
    return false;
  }
  option.set(*options, value);
  return true;
}

bool set_text(std::string_view name, std::string_view text, Options* options, std::string* error) {
  if (name == "--dir") {
    options->dir = text;
    if (text.empty()) *error = "--dir must not be empty.";
  } else if (name == "--listen") {
    options->listen = text;
    if (text.rfind(':') == std::string_view::npos)
      *error = "--listen needs HOST:PORT, HOST a numeric address.";
  } else if (name == "--listen-fd") {
    uint64_t fd = 0;
    if (!parse_number(text, &fd) || fd > 1'000'000)
      *error = "--listen-fd needs the number of an open descriptor.";
    options->listen_fd = static_cast<int>(fd);
  } else if (name == "--log-level") {
    if (!parse_level(text, &options->log_level))
      *error = "--log-level is one of debug, info, warning, error.";
  } else if (name == "--sandbox") {
    options->sandbox = text == "on";
    if (text != "on" && text != "off") *error = "--sandbox is on or off.";
  } else {
    *error = "Unknown option " + std::string(name) + "; --help lists them all.";
  }
  return error->empty();
}

bool is_text(std::string_view name) {
  return name == "--dir" || name == "--listen" || name == "--listen-fd" || name == "--log-level" ||
         name == "--sandbox";
}

bool set_option(std::string_view name, std::string_view text, Options* options, std::string* error) {
  for (const NumberOption& option : kNumbers) {
    if (option.name == name) return set_number(option, text, options, error);
  }
  return set_text(name, text, options, error);
}

bool is_known(std::string_view name) {
  for (const NumberOption& option : kNumbers) {
    if (option.name == name) return true;
  }
  return is_text(name);
}

}  // namespace

Invocation parse_options(int argc, const char* const* argv, Options* options, std::string* error) {
  error->clear();
  for (int i = 1; i < argc; ++i) {
    std::string_view name = argv[i];
    if (name == "--help") return Invocation::kHelp;
    if (name == "--version") return Invocation::kVersion;
    if (name == "--schema") return Invocation::kSchema;
    std::string_view value;
    size_t equals = name.find('=');
    if (equals != std::string_view::npos) {
      value = name.substr(equals + 1);
      name = name.substr(0, equals);
    }
    if (!is_known(name)) {
      *error = "Unknown option " + std::string(name) + "; --help lists them all.";
      return Invocation::kWrong;
    }
    if (equals == std::string_view::npos) {
      if (++i == argc) {
        *error = std::string(name) + " needs a value.";
        return Invocation::kWrong;
      }
      value = argv[i];
    }
    if (!set_option(name, value, options, error)) return Invocation::kWrong;
  }
  if (options->dir.empty()) {
    *error = "--dir is required: the directory for server.sock.";
  } else if (options->listen_fd >= 0 && !options->listen.empty()) {
    *error = "--listen-fd and --listen exclude each other.";
  }
  return error->empty() ? Invocation::kServe : Invocation::kWrong;
}

std::string help_text() {
  std::string text =
      "reflex-server --dir DIR [--listen-fd N | --listen HOST:PORT] [options]\n"
      "Serves the tables it was built for over HTTP; rows and orders come over DIR/server.sock.\n\n"
      "  --dir DIR                  directory for server.sock; becomes the working directory\n"
      "  --listen-fd N              inherited listening socket; accepts after the order to serve\n"
      "  --listen HOST:PORT         binds and accepts by itself; HOST is a numeric address\n"
      "  --log-level LEVEL          debug, info, warning or error (info)\n"
      "  --sandbox on|off           give up the system calls that serving needs not (on)\n";
  const Options defaults;
  for (const NumberOption& option : kNumbers) {
    std::string line = "  " + std::string(option.name) + " N";
    line.resize(std::max<size_t>(line.size() + 1, 29), ' ');
    text += line + std::string(option.meaning) + " (" + std::to_string(option.get(defaults)) + ")\n";
  }
  text +=
      "  --schema                   print the plan's fingerprint and the engine's version as JSON\n"
      "  --version                  print the version\n"
      "  --help                     print this\n";
  return text;
}

std::string hex(std::span<const uint8_t> bytes) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  text.reserve(bytes.size() * 2);
  for (uint8_t byte : bytes) {
    text += kDigits[byte >> 4];
    text += kDigits[byte & 15];
  }
  return text;
}

std::string schema_text(const SchemaDef& schema) {
  return "{\"fingerprint\":\"" + hex(schema.fingerprint) + "\",\"engine\":\"" + kEngineVersion + "\"}\n";
}

}  // namespace reflex::net
