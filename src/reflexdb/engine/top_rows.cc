#include "top_rows.h"

#include <algorithm>
#include <bit>
#include <cassert>
#include <cmath>
#include <limits>

#include "block.h"
#include "key.h"
#include "ordered_text.h"
#include "rows.h"

namespace reflex {

namespace {

constexpr uint64_t kSign = uint64_t{1} << 63;

uint64_t of_signed(int64_t value) { return static_cast<uint64_t>(value) ^ kSign; }

// Both zeros are alike, and NaN is larger than any number.
uint64_t of_float(double value) {
  if (value != value) return ~uint64_t{0};
  const auto bits = std::bit_cast<uint64_t>(value + 0.0);
  return (bits & kSign) != 0 ? ~bits : bits | kSign;
}

// The first eight bytes, the first of them the highest.
uint64_t of_bytes(std::string_view text) {
  uint64_t key = 0;
  if (text.empty()) return key;
  std::memcpy(&key, text.data(), std::min<size_t>(text.size(), 8));
  static_assert(std::endian::native == std::endian::little);
  return __builtin_bswap64(key);
}

// Never decreases where compare_rows says that a value is larger; the same for values it has no number for.
uint64_t ascending_key(const Cell& cell, Storage storage) {
  const auto& [chunk, i] = cell;
  switch (storage) {
    case Storage::kBool:
      return chunk.get<uint8_t>(i);
    case Storage::kI16:
      return of_signed(chunk.get<int16_t>(i));
    case Storage::kI32:
    case Storage::kDate:
      return of_signed(chunk.get<int32_t>(i));
    case Storage::kI64:
    case Storage::kDatetime:
    case Storage::kTimestamp:
      return of_signed(chunk.get<int64_t>(i));
    case Storage::kU64:
      return chunk.get<uint64_t>(i);
    case Storage::kF32:
      return of_float(static_cast<double>(chunk.get<float>(i)));
    case Storage::kF64:
      return of_float(chunk.get<double>(i));
    case Storage::kUuid:
      return of_bytes(chunk.uuid(i));
    case Storage::kDecimal:
      return 0;
    case Storage::kTime:
    case Storage::kInterval:
      return of_bytes(ordered_key(storage, chunk.text(i)));
    default:
      return of_bytes(chunk.text(i));
  }
}

// The values that come no later than a bound: those inside `operand`, or where `outside`, all others.
struct NoLater {
  bool known = false;  // false: nothing is turned away
  bool outside = false;
  Operand operand;
};

template <typename T>
NoLater integers_no_later(T bound, bool descending) {
  const T low = descending ? bound : std::numeric_limits<T>::min();
  const T high = descending ? std::numeric_limits<T>::max() : bound;
  using Bits = std::make_unsigned_t<T>;
  NoLater found;
  found.known = true;
  found.operand.low = static_cast<Bits>(low);
  found.operand.span = static_cast<Bits>(static_cast<Bits>(high) - static_cast<Bits>(low));
  return found;
}

// NaN is larger than any number, and inside no range: it comes first of all, or after every other bound.
template <typename T>
NoLater floats_no_later(T bound, bool descending) {
  constexpr T kLowest = -std::numeric_limits<T>::infinity();
  NoLater found;
  if (std::isnan(bound) || (descending && bound == kLowest)) return found;
  found.known = true;
  found.outside = descending;
  found.operand.low_float = static_cast<double>(kLowest);
  found.operand.high_float = static_cast<double>(descending ? std::nextafter(bound, kLowest) : bound);
  return found;
}

NoLater no_later(const Cell& bound, Storage storage, bool descending) {
  const auto& [chunk, i] = bound;
  switch (storage) {
    case Storage::kBool:
      return integers_no_later(chunk.get<uint8_t>(i), descending);
    case Storage::kI16:
      return integers_no_later(chunk.get<int16_t>(i), descending);
    case Storage::kI32:
    case Storage::kDate:
      return integers_no_later(chunk.get<int32_t>(i), descending);
    case Storage::kI64:
    case Storage::kDatetime:
    case Storage::kTimestamp:
      return integers_no_later(chunk.get<int64_t>(i), descending);
    case Storage::kU64:
      return integers_no_later(chunk.get<uint64_t>(i), descending);
    case Storage::kF32:
      return floats_no_later(chunk.get<float>(i), descending);
    case Storage::kF64:
      return floats_no_later(chunk.get<double>(i), descending);
    default:
      return {};
  }
}

}  // namespace

TopRows::TopRows(const Table& table, const PlanSelection& selection, Room* room)
    : table_(table),
      order_(selection.order),
      first_(table.columns[selection.order.front().column]),
      descending_(selection.order.front().descending),
      nulls_first_(selection.order.front().nulls_first),
      wanted_(rows_wanted(selection)),
      room_(*room),
      base_(room->size()) {}

uint64_t TopRows::key_of(uint32_t row) const {
  const Cell cell = first_.cell(row);
  if (!cell.chunk.has(cell.i)) return nulls_first_ ? 0 : ~uint64_t{0};
  const uint64_t key = ascending_key(cell, first_.storage);
  return descending_ ? ~key : key;
}

bool TopRows::before(const Entry& a, const Entry& b) const {
  if (a.key != b.key) return a.key < b.key;
  return row_before(table_, order_, a.row, b.row);
}

void TopRows::add(uint32_t row) {
  if (wanted_ == 0) return;
  const Entry entry = {key_of(row), row};
  const auto less = [this](const Entry& a, const Entry& b) { return before(a, b); };
  if (size() < wanted_) {
    room_.push_back(entry);
    // From now on the last in order is in front.
    if (size() == wanted_) std::make_heap(room_.begin() + static_cast<ptrdiff_t>(base_), room_.end(), less);
    return;
  }
  if (!before(entry, room_[base_])) return;
  const auto begin = room_.begin() + static_cast<ptrdiff_t>(base_);
  std::pop_heap(begin, room_.end(), less);
  room_.back() = entry;
  std::push_heap(begin, room_.end(), less);
}

void TopRows::screen(uint32_t first, uint32_t count, uint64_t* mask) const {
  if (wanted_ == 0 || size() < wanted_) return;
  const uint32_t words = (count + 63) / 64;
  const Cell bound = first_.cell(room_[base_].row);
  const auto [chunk, in_chunk] = first_.cell(first);
  if (!bound.chunk.has(bound.i)) {
    for (uint32_t w = 0; nulls_first_ && w < words; ++w) mask[w] &= ~chunk.valid_word(in_chunk + w * 64);
    return;
  }
  const NoLater wanted = no_later(bound, first_.storage, descending_);
  uint64_t inside[kPageRows / 64];
  if (!wanted.known || !test_values(wanted.operand, first_.storage, chunk, in_chunk, count, false, inside)) {
    return;
  }
  for (uint32_t w = 0; w < words; ++w) {
    const uint64_t early = wanted.outside ? ~inside[w] : inside[w];
    const uint64_t valid = chunk.valid_word(in_chunk + w * 64);
    mask[w] &= nulls_first_ ? early | ~valid : early & valid;
  }
}

void TopRows::finish() {
  std::sort(room_.begin() + static_cast<ptrdiff_t>(base_), room_.end(),
            [this](const Entry& a, const Entry& b) { return before(a, b); });
}

}  // namespace reflex
