#include "table_part.h"

#include <cstring>
#include <string>

namespace reflex {

Status parse_part(std::span<const uint8_t> body, const SchemaDef& schema, TablePart* out) {
  const auto broken = [](const std::string& why) {
    return Status{"protocol_error", "A TABLE_PART frame: " + why + "."};
  };
  uint32_t head[2] = {};
  if (body.size() < sizeof head) return broken("it ends within its header");
  std::memcpy(head, body.data(), sizeof head);
  const auto [index, count] = head;
  if (index >= schema.tables.size()) return broken("there is no table with index " + std::to_string(index));
  const TableDef& def = schema.tables[index];
  const auto storage = [&def] { return def.columns[def.primary_key.front()].storage; };
  if (def.primary_key.empty()) return broken("its table has no key");
  if (count != 0 && key_class(storage()) != KeyClass::kInteger)
    return broken("the key of its table does not begin with an integer");
  constexpr size_t kEach = 2 * sizeof(int64_t);
  if (body.size() - sizeof head != count * kEach) return broken("it has not as many ranges as it says");
  const bool is_unsigned = storage() == Storage::kU64;
  const auto bound = [&](size_t at) -> Int128 {
    int64_t value = 0;
    std::memcpy(&value, body.data() + at, sizeof value);
    return is_unsigned ? Int128{static_cast<uint64_t>(value)} : Int128{value};
  };
  out->table = index;
  out->ranges.clear();
  out->ranges.reserve(count);
  for (size_t at = sizeof head; at < body.size(); at += kEach) {
    const TablePart::Range range{bound(at), bound(at + sizeof(int64_t))};
    if (range.last < range.first || (!out->ranges.empty() && range.first <= out->ranges.back().last))
      return broken("its ranges are not in order");
    out->ranges.push_back(range);
  }
  return {};
}

}  // namespace reflex
