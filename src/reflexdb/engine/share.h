// Which share of the new connections this process takes, where two hold the same listening socket.
//
// Time is cut into short slots, and each slot belongs to one of the two by its number alone, so that they
// need not speak with each other and neither is asked when the other is gone: what it does not take waits in
// the kernel's queue for the next slot that is ours. Values; any thread.
#pragma once

#include <atomic>
#include <cstdint>

namespace reflex::net {

struct Share {
  static constexpr uint32_t kWhole = 1000;
  static constexpr int64_t kSlotMs = 10;

  uint32_t from = 0;  // of 1000: slots whose place is in [from, to) are ours
  uint32_t to = kWhole;
  uint32_t connection_ms = 0;  // a connection so old ends with its next answer; 0: none does

  bool whole() const { return from == 0 && to == kWhole; }
  bool none() const { return from == to; }
  bool valid() const { return from <= to && to <= kWhole; }

  // The place of a slot. Multiples of the golden ratio are as evenly spread as can be, in any stretch of
  // time.
  static uint32_t place(int64_t slot) {
    const uint64_t spread = static_cast<uint64_t>(slot) * 11'400'714'819'323'198'485u;
    return static_cast<uint32_t>(((spread >> 32) * kWhole) >> 32);
  }
  bool has(int64_t slot) const {
    const uint32_t at = place(slot);
    return from <= at && at < to;
  }
  bool has_turn(int64_t monotonic_ms) const { return whole() || has(monotonic_ms / kSlotMs); }

  // Until it is somebody else's turn; at most a second.
  int64_t next_change_ms(int64_t monotonic_ms) const {
    const int64_t slot = monotonic_ms / kSlotMs;
    int64_t next = slot + 1;
    while (next < slot + 1000 / kSlotMs && has(next) == has(slot)) ++next;
    return next * kSlotMs - monotonic_ms;
  }
};

// A share that one thread sets and loops read.
class SharedShare {
 public:
  void set(const Share& share) {
    packed_.store(uint64_t{share.connection_ms} << 32 | share.from << 16 | share.to,
                  std::memory_order_release);
  }
  Share get() const {
    const uint64_t packed = packed_.load(std::memory_order_acquire);
    return {static_cast<uint32_t>(packed >> 16) & 0xffff, static_cast<uint32_t>(packed) & 0xffff,
            static_cast<uint32_t>(packed >> 32)};
  }

 private:
  std::atomic<uint64_t> packed_{Share::kWhole};
};

}  // namespace reflex::net
