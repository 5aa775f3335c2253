#include "instance.h"

#include <sys/random.h>

#include <array>
#include <utility>

namespace reflex::net {
namespace {

std::string random_id() {
  std::array<uint8_t, 6> bytes{};
  if (getrandom(bytes.data(), bytes.size(), 0) != static_cast<ssize_t>(bytes.size())) {
    const int64_t now = wall_ms();
    for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<uint8_t>(now >> (8 * i));
  }
  return hex(bytes);
}

}  // namespace

Instance::Instance(const SchemaDef& schema_def, const Options& opts)
    : schema(schema_def),
      options(opts),
      started_ms(monotonic_ms()),
      boot_id(random_id()),
      first_version(static_cast<uint64_t>(wall_ms()) * 1000) {}

void HealthNotes::set_sync(std::string raw, std::string state, std::string last_error) {
  std::lock_guard lock(mutex_);
  notes_.sync = std::move(raw);
  notes_.sync_state = std::move(state);
  notes_.sync_error = std::move(last_error);
}

void HealthNotes::set_frozen(Frozen frozen) {
  std::lock_guard lock(mutex_);
  any_frozen_.store(frozen != nullptr, std::memory_order_release);
  frozen_ = std::move(frozen);
}

HealthNotes::Frozen HealthNotes::frozen() const {
  if (!any_frozen_.load(std::memory_order_acquire)) return nullptr;
  std::lock_guard lock(mutex_);
  return frozen_;
}

void HealthNotes::set_cap_exceeded(std::string message) {
  std::lock_guard lock(mutex_);
  notes_.cap_exceeded = std::move(message);
}

HealthNotes::Copy HealthNotes::copy() const {
  std::lock_guard lock(mutex_);
  return notes_;
}

}  // namespace reflex::net
