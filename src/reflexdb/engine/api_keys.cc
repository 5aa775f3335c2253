#include "api_keys.h"

#include <algorithm>
#include <bit>
#include <cassert>
#include <functional>
#include <limits>

#include "json_doc.h"
#include "options.h"
#include "sha256.h"

namespace reflex::net {
namespace {

constexpr std::string_view kPrefix = "rxk_";
constexpr size_t kSecretBytes = 32;

bool is_id(std::string_view id) {
  return !id.empty() && id.size() <= KeyTable::kMaxIdBytes && std::all_of(id.begin(), id.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
  });
}

int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

bool parse_secret(std::string_view text, std::array<uint8_t, kSecretBytes>* secret) {
  if (text.size() != 2 * kSecretBytes) return false;
  for (size_t i = 0; i < kSecretBytes; ++i) {
    int high = hex_value(text[2 * i]);
    int low = hex_value(text[2 * i + 1]);
    if (high < 0 || low < 0) return false;
    (*secret)[i] = static_cast<uint8_t>(high << 4 | low);
  }
  return true;
}

bool is_bearer(std::string_view scheme) {
  static constexpr std::string_view kScheme = "bearer";
  return scheme.size() == kScheme.size() && std::equal(scheme.begin(), scheme.end(), kScheme.begin(),
                                                       [](char a, char b) { return (a | 0x20) == b; });
}

// Every byte is looked at, whatever the first difference.
bool equal_in_constant_time(const char* a, const char* b, size_t size) {
  unsigned difference = 0;
  for (size_t i = 0; i < size; ++i) difference |= static_cast<unsigned char>(a[i] ^ b[i]);
  return difference == 0;
}

}  // namespace

KeyTable::KeyTable(size_t count)
    : count_(count), entries_(new Entry[count]), slots_(std::bit_ceil(std::max<size_t>(count * 2, 8))) {}

const KeyTable::Entry* KeyTable::find(std::string_view id) const {
  const size_t mask = slots_.size() - 1;
  for (size_t at = std::hash<std::string_view>()(id) & mask; slots_[at] != 0; at = (at + 1) & mask) {
    const Entry& entry = entries_[slots_[at] - 1];
    if (entry.id == id) return &entry;
  }
  return nullptr;
}

bool KeyTable::insert(size_t index) {
  const size_t mask = slots_.size() - 1;
  size_t at = std::hash<std::string_view>()(entries_[index].id) & mask;
  for (; slots_[at] != 0; at = (at + 1) & mask) {
    if (entries_[slots_[at] - 1].id == entries_[index].id) return false;
  }
  slots_[at] = static_cast<uint32_t>(index + 1);
  return true;
}

KeyTablePtr KeyTable::parse(std::string_view json, const KeyTable* previous, std::string* error) {
  using Kind = JsonValue::Kind;
  JsonValue order;
  *error = "KEYS must be a JSON object with \"secret\" and \"keys\".";
  if (!parse_json(json, &order) || !order.is(Kind::kObject)) return nullptr;
  const JsonValue* secret_text = order.find("secret");
  const JsonValue* keys = order.find("keys");
  if (secret_text == nullptr || keys == nullptr || !keys->is(Kind::kArray)) return nullptr;
  std::array<uint8_t, kSecretBytes> secret{};
  *error = "The \"secret\" of KEYS must be 64 hexadecimal digits.";
  if (!secret_text->is(Kind::kString) || !parse_secret(secret_text->text, &secret)) return nullptr;

  std::shared_ptr<KeyTable> table(new KeyTable(keys->items.size()));
  for (size_t i = 0; i < keys->items.size(); ++i) {
    const JsonValue* id = keys->items[i].find("keyId");
    const JsonValue* expires = keys->items[i].find("expiresAtMs");
    *error = "Key " + std::to_string(i) +
             " of KEYS needs a \"keyId\" of 1 to 64 characters A-Z a-z 0-9 _ -, and once only.";
    if (id == nullptr || !id->is(Kind::kString) || !is_id(id->text)) return nullptr;
    Entry& entry = table->entries_[i];
    entry.id = id->text;
    if (!table->insert(i)) return nullptr;
    *error = "\"expiresAtMs\" of key " + std::to_string(i) + " of KEYS must be null or a whole number.";
    const bool never = expires == nullptr || expires->is(Kind::kNull);
    if (!never && !expires->is(Kind::kInteger)) return nullptr;
    entry.expires_at_ms = never ? std::numeric_limits<int64_t>::max() : expires->integer;
    const Digest mac =
        hmac_sha256(secret, {reinterpret_cast<const uint8_t*>(entry.id.data()), entry.id.size()});
    const std::string mac_text = hex(mac);
    assert(mac_text.size() == kMacChars);
    std::copy(mac_text.begin(), mac_text.end(), entry.mac.begin());
    const Entry* before = previous != nullptr ? previous->find(entry.id) : nullptr;
    if (before != nullptr) entry.last_used_ms = before->last_used_ms.load(std::memory_order_relaxed);
  }
  error->clear();
  return table;
}

bool KeyTable::admits(std::string_view authorization, int64_t now_ms) const {
  static constexpr char kNobody[kMacChars + 1] =
      "****************************************************************";
  const size_t space = authorization.find(' ');
  if (space == std::string_view::npos || !is_bearer(authorization.substr(0, space))) return false;
  const size_t start = authorization.find_first_not_of(' ', space);
  if (start == std::string_view::npos) return false;
  std::string_view key = authorization.substr(start);
  if (!key.starts_with(kPrefix) || key.size() > kPrefix.size() + kMaxIdBytes + 1 + kMacChars) return false;
  key.remove_prefix(kPrefix.size());
  const size_t dot = key.find('.');
  if (dot == std::string_view::npos || key.size() - dot - 1 != kMacChars) return false;
  const Entry* entry = find(key.substr(0, dot));
  // An unknown id costs the same comparison, so time does not tell which ids exist.
  const char* wanted = entry != nullptr ? entry->mac.data() : kNobody;
  const bool same = equal_in_constant_time(wanted, key.data() + dot + 1, kMacChars);
  if (entry == nullptr || !same || now_ms >= entry->expires_at_ms) return false;
  std::atomic<int64_t>& used = entry->last_used_ms;
  if (used.load(std::memory_order_relaxed) != now_ms) used.store(now_ms, std::memory_order_relaxed);
  return true;
}

std::vector<KeyTable::Use> KeyTable::uses() const {
  std::vector<Use> uses;
  for (size_t i = 0; i < count_; ++i) {
    const int64_t at = entries_[i].last_used_ms.load(std::memory_order_relaxed);
    if (at > 0) uses.push_back({entries_[i].id, at});
  }
  return uses;
}

}  // namespace reflex::net
