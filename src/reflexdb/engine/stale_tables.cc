#include "stale_tables.h"

namespace reflex::net {
namespace {

constexpr size_t kMostBytes = 512;

std::string encoded(std::string_view name) {
  constexpr std::string_view kDigits = "0123456789ABCDEF";
  std::string out;
  for (const char c : name) {
    const auto byte = static_cast<unsigned char>(c);
    const bool plain = (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') ||
                       (byte >= '0' && byte <= '9') || byte == '-' || byte == '.' || byte == '_';
    if (plain) {
      out += c;
    } else {
      out += '%';
      out += kDigits[byte >> 4];
      out += kDigits[byte & 15];
    }
  }
  return out;
}

}  // namespace

std::string stale_tables(const std::vector<std::string_view>& frozen,
                         const std::set<std::string_view>& answered) {
  std::string out;
  for (const std::string_view name : frozen) {
    if (!answered.contains(name)) continue;
    const std::string one = encoded(name);
    if (!out.empty()) out += ", ";
    if (out.size() + one.size() + 3 > kMostBytes) return out + '*';
    out += one;
  }
  return out;
}

}  // namespace reflex::net
