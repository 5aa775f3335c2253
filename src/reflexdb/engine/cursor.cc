#include "cursor.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "key.h"
#include "ordered_text.h"

namespace reflex {

namespace {

constexpr std::string_view kAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

void append_u64(uint64_t value, std::string* out) {
  for (int i = 0; i < 8; ++i) out->push_back(static_cast<char>(value >> (i * 8)));
}

// base64url, not padded: it stands in URLs and quotes as it is.
std::string to_text(std::string_view bytes) {
  std::string out;
  uint32_t group = 0;
  uint32_t bits = 0;
  for (const char c : bytes) {
    group = (group << 8) | static_cast<uint8_t>(c);
    for (bits += 8; bits >= 6; bits -= 6) out.push_back(kAlphabet[(group >> (bits - 6)) & 63]);
  }
  if (bits != 0) out.push_back(kAlphabet[(group << (6 - bits)) & 63]);
  return out;
}

bool from_text(std::string_view text, std::string* out) {
  uint32_t group = 0;
  uint32_t bits = 0;
  for (const char c : text) {
    const size_t digit = kAlphabet.find(c);
    if (digit == std::string_view::npos) return false;
    group = (group << 6) | static_cast<uint32_t>(digit);
    bits += 6;
    if (bits < 8) continue;
    bits -= 8;
    out->push_back(static_cast<char>(group >> bits));
  }
  return bits < 6 && (group & ((1u << bits) - 1)) == 0;
}

bool is_number(Storage storage) {
  const KeyClass kind = key_class(storage);
  return kind == KeyClass::kInteger || kind == KeyClass::kFloat;
}

class Reader {
 public:
  explicit Reader(std::string_view bytes) : left_(bytes) {}
  bool u8(uint8_t* out) {
    if (left_.empty()) return false;
    *out = static_cast<uint8_t>(left_[0]);
    left_.remove_prefix(1);
    return true;
  }
  bool u64(uint64_t* out) {
    *out = 0;
    if (left_.size() < 8) return false;
    for (size_t i = 0; i < 8; ++i) *out |= static_cast<uint64_t>(static_cast<uint8_t>(left_[i])) << (i * 8);
    left_.remove_prefix(8);
    return true;
  }
  bool bytes(std::string* out) {
    uint64_t size = 0;
    if (!u64(&size) || size > left_.size()) return false;
    out->assign(left_.substr(0, size));
    left_.remove_prefix(size);
    return true;
  }
  bool at_end() const { return left_.empty(); }

 private:
  std::string_view left_;
};

bool read_value(Storage storage, Reader* from, CursorValue* out) {
  uint8_t has = 0;
  if (!from->u8(&has) || has > 1) return false;
  out->has = has == 1;
  if (!out->has) return true;
  if (is_number(storage)) return from->u64(&out->bits);
  if (!from->bytes(&out->bytes)) return false;
  Decimal value;
  return storage != Storage::kDecimal || parse_decimal(out->bytes, &value);
}

int order_doubles(double a, double b) {  // as compare_rows: NaN last, equal to itself
  const bool a_nan = a != a;
  const bool b_nan = b != b;
  if (a_nan || b_nan) return static_cast<int>(a_nan) - static_cast<int>(b_nan);
  return (a > b) - (a < b);
}

// Requires: both have a value.
int compare_to(const Column& column, uint32_t row, const CursorValue& value) {
  switch (key_class(column.storage)) {
    case KeyClass::kInteger: {
      const Int128 mine = integer_value(column, row);
      const Int128 theirs = column.storage == Storage::kU64
                                ? static_cast<Int128>(value.bits)
                                : static_cast<Int128>(static_cast<int64_t>(value.bits));
      return (mine > theirs) - (mine < theirs);
    }
    case KeyClass::kFloat:
      return order_doubles(std::bit_cast<double>(static_cast<int64_t>(key_part(column, row).integer)),
                           std::bit_cast<double>(value.bits));
    case KeyClass::kDecimal: {
      Decimal mine;
      Decimal theirs;
      parse_decimal(column.text(row), &mine);
      parse_decimal(value.bytes, &theirs);
      return compare(mine, theirs);
    }
    case KeyClass::kTime:
    case KeyClass::kInterval:
      return ordered_key(column.storage, column.text(row)).compare(ordered_key(column.storage, value.bytes));
    default:
      return column.bytes(row).compare(value.bytes);
  }
}

}  // namespace

std::vector<OrderKey> page_keys(const TableDef& table, const PlanSelection& selection) {
  std::vector<OrderKey> keys = selection.order;
  for (const uint16_t column : table.primary_key)
    keys.push_back({column, selection.backwards, !selection.backwards});
  return keys;
}

std::string write_cursor(const Table& table, const PlanPage& page, uint32_t row) {
  std::string bytes;
  append_u64(page.shape, &bytes);
  for (const OrderKey& key : page.keys) {
    const Column& column = table.columns[key.column];
    const bool has = column.has(row);
    bytes.push_back(has ? '\1' : '\0');
    if (!has) continue;
    const KeyPart part = key_part(column, row);
    if (is_number(column.storage)) {
      append_u64(static_cast<uint64_t>(part.integer), &bytes);
    } else {
      append_u64(part.bytes.size(), &bytes);
      bytes += part.bytes;
    }
  }
  return to_text(bytes);
}

std::string next_parameter(const Table& table, const PlanPage& page, uint32_t row) {
  return page.parameter.empty() ? std::string() : page.parameter + "=" + write_cursor(table, page, row);
}

bool read_cursor(const TableDef& table, std::string_view text, PlanPage* page) {
  std::string bytes;
  if (!from_text(text, &bytes)) return false;
  Reader reader(bytes);
  uint64_t shape = 0;
  if (!reader.u64(&shape) || shape != page->shape) return false;
  page->after.clear();
  for (const OrderKey& key : page->keys) {
    if (!read_value(table.columns[key.column].storage, &reader, &page->after.emplace_back())) return false;
  }
  return reader.at_end();
}

bool is_after(const Table& table, const PlanPage& page, uint32_t row) {
  assert(page.after.size() == page.keys.size());
  for (size_t i = 0; i < page.keys.size(); ++i) {
    const OrderKey& key = page.keys[i];
    const CursorValue& value = page.after[i];
    const Column& column = table.columns[key.column];
    const bool has = column.has(row);
    if (!has || !value.has) {
      if (has == value.has) continue;
      return has == key.nulls_first;  // nulls stand first: what has a value is behind them
    }
    const int order = compare_to(column, row, value);
    if (order != 0) return (order > 0) != key.descending;
  }
  return false;
}

}  // namespace reflex
