// reflex-server: one schema's query server. This file is the table of contents; doc/launch.md is how it is
// started and stopped.
#include <stdio.h>
#include <unistd.h>

#include <algorithm>
#include <new>
#include <string>
#include <thread>

#include "instance.h"
#include "lifecycle.h"
#include "log.h"
#include "options.h"
#include "private_socket.h"
#include "version.h"

namespace {

constexpr int kWrongOptions = 2;
constexpr int kUnusablePlace = 3;
constexpr int kNoMemory = 4;

int fail(int status, const std::string& message) {
  fprintf(stderr, "reflex-server: %s\n", message.c_str());
  return status;
}

int serve(reflex::net::Options options) {
  using namespace reflex::net;
  set_log_level(options.log_level);
  if (options.threads == 0) options.threads = std::max(1u, std::thread::hardware_concurrency());
  const int signals = claim_signals();
  std::string error;
  if (chdir(options.dir.c_str()) != 0)
    return fail(kUnusablePlace, "the directory of --dir can't be entered: " + options.dir);
  const int listener = options.listen.empty() ? options.listen_fd : listen_at(options.listen, &error);
  if (!error.empty()) return fail(kUnusablePlace, error);

  Instance instance(reflex::schema(), options);
  Lifecycle lifecycle(instance, signals, listener);
  PrivateSocket orders(instance);
  if (!orders.start(&error)) return fail(kUnusablePlace, error);
  if (!options.listen.empty()) lifecycle.serve();
  log_event(LogLevel::kInfo, "started",
            {{"engine", reflex::kEngineVersion}, {"threads", static_cast<uint64_t>(options.threads)}});
  lifecycle.run();
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  using namespace reflex::net;
  Options options;
  std::string error;
  try {
    switch (parse_options(argc, argv, &options, &error)) {
      case Invocation::kHelp:
        return fputs(help_text().c_str(), stdout) < 0;
      case Invocation::kVersion:
        return printf("%s\n", reflex::kEngineVersion) < 0;
      case Invocation::kSchema:
        return puts(schema_text(reflex::schema()).c_str()) < 0;
      case Invocation::kWrong:
        return fail(kWrongOptions, error);
      case Invocation::kServe:
        return serve(options);
    }
  } catch (const std::bad_alloc&) {
    return fail(kNoMemory, "the machine's memory is exhausted");
  }
  return 0;
}
