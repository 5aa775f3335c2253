// The query server of one instance, from start to end. Each line's story is in the header of the part it
// calls.
#include <unistd.h>

#include <cstdio>
#include <exception>
#include <new>

#include "checkpointer.h"
#include "instance.h"
#include "lifecycle.h"
#include "log.h"
#include "options.h"
#include "private_socket.h"
#include "sandbox.h"
#include "version.h"

namespace reflex::net {
namespace {

// doc/launch.md
enum ExitStatus : int { kDrained = 0, kWrongOptions = 2, kUnusable = 3, kOutOfMemory = 4 };

int fail(ExitStatus status, const std::string& sentence) {
  log_event(LogLevel::kError, "start_failed", {{"message", sentence}});
  return status;
}

void give_up_privileges(Instance* instance) {
  if (!instance->options.sandbox) return;
  std::string problem;
  if (enter_sandbox(&problem)) {
    instance->sandbox = Instance::Sandbox::kOn;
    return;
  }
  instance->sandbox = Instance::Sandbox::kRefused;
  log_event(LogLevel::kWarning, "not_sandboxed", {{"message", problem}});
}

int run(const Options& options) {
  set_log_level(options.log_level);
  if (chdir(options.dir.c_str()) != 0) return fail(kUnusable, "The directory of --dir can't be entered.");
  Instance instance(reflex::schema(), options);
  Lifecycle lifecycle(instance, prepare_process());
  std::string error;
  if (!lifecycle.open_listener(&error)) return fail(kUnusable, error);
  Checkpointer checkpointer(instance);
  PrivateSocket private_socket(instance);
  if (!private_socket.start(&error)) return fail(kUnusable, error);
  checkpointer.start();
  lifecycle.start_loops();
  give_up_privileges(&instance);
  log_event(LogLevel::kInfo, "started", {{"engine", kEngineVersion}});
  lifecycle.wait();
  checkpointer.finish(true);
  return kDrained;
}

int start(int argc, char** argv) {
  Options options;
  std::string error;
  switch (parse_options(argc, argv, &options, &error)) {
    case Invocation::kHelp:
      return fputs(help_text().c_str(), stdout) < 0;
    case Invocation::kVersion:
      return puts(kEngineVersion) < 0;
    case Invocation::kSchema:
      return fputs(schema_text(reflex::schema()).c_str(), stdout) < 0;
    case Invocation::kServe:
      return run(options);
    case Invocation::kWrong:
      break;
  }
  return fail(kWrongOptions, error);
}

}  // namespace
}  // namespace reflex::net

int main(int argc, char** argv) {
  try {
    return reflex::net::start(argc, argv);
  } catch (const std::bad_alloc&) {
    return reflex::net::kOutOfMemory;
  } catch (const std::exception& problem) {
    return reflex::net::fail(reflex::net::kUnusable, problem.what());
  }
}
