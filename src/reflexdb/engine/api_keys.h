// Who may query: the API keys `rxk_<keyId>.<hex hmac>` of the latest KEYS order.
//
// A KeyTable is immutable but for the times of last use; any thread reads it without locks. Each order makes
// a new one, so a revoked key is refused from the moment the order is answered. Secrets stay in here: nothing
// of them is ever printed.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace reflex::net {

class KeyTable;
using KeyTablePtr = std::shared_ptr<const KeyTable>;

class KeyTable {
 public:
  static constexpr size_t kMaxIdBytes = 64;
  static constexpr size_t kMacChars = 64;

  struct Use {
    std::string_view key_id;
    int64_t last_used_ms;
  };

  // From a KEYS body; times of last use go on from `previous` (may be null). Null, and a sentence in
  // `*error`, where it is malformed.
  static KeyTablePtr parse(std::string_view json, const KeyTable* previous, std::string* error);

  // Whether this value of the Authorization field opens the instance now. Takes the same time for every wrong
  // mac.
  bool admits(std::string_view authorization, int64_t now_ms) const;

  // Keys used so far.
  std::vector<Use> uses() const;
  size_t size() const { return count_; }

 private:
  struct Entry {
    std::string id;
    std::array<char, kMacChars> mac{};
    int64_t expires_at_ms = 0;
    mutable std::atomic<int64_t> last_used_ms{0};
  };

  explicit KeyTable(size_t count);
  const Entry* find(std::string_view id) const;
  bool insert(size_t index);

  size_t count_;
  std::unique_ptr<Entry[]> entries_;
  std::vector<uint32_t> slots_;  // open addressing; 0 is free, else index + 1
};

}  // namespace reflex::net
