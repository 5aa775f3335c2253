#include "filter.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "group.h"
#include "order_related.h"

namespace reflex {

namespace {

// The value's 64 bits, sign-extended where the type is signed; ranges compare modulo 2^64.
uint64_t integer_bits(const Column& column, uint32_t row) {
  switch (column.storage) {
    case Storage::kBool:
      return column.get<uint8_t>(row);
    case Storage::kI16:
      return static_cast<uint64_t>(static_cast<int64_t>(column.get<int16_t>(row)));
    case Storage::kI32:
    case Storage::kDate:
      return static_cast<uint64_t>(static_cast<int64_t>(column.get<int32_t>(row)));
    default:
      return column.get<uint64_t>(row);
  }
}

double float_value(const Column& column, uint32_t row) {
  return column.storage == Storage::kF32 ? static_cast<double>(column.get<float>(row))
                                         : column.get<double>(row);
}

bool in_bytes(const Operand& operand, std::string_view bytes) {
  if (operand.kind == Operand::Kind::kIn) return operand.strings.contains(bytes);
  if (operand.has_low) {
    const int order = bytes.compare(operand.low_bytes);
    if (order < 0 || (order == 0 && operand.low_strict)) return false;
  }
  if (!operand.has_high) return true;
  const int order = bytes.compare(operand.high_bytes);
  return order < 0 || (order == 0 && !operand.high_strict);
}

// NaN is answered as null and, like null, compares with nothing.
bool is_nan(const Column& column, uint32_t row) {
  switch (column.storage) {
    case Storage::kF32:
    case Storage::kF64: {
      const double value = float_value(column, row);
      return value != value;
    }
    case Storage::kDecimal:
      return column.text(row) == "NaN";
    default:
      return false;
  }
}

// The tight loop: one comparison a value, a word of results at a time. `T` is the column's unsigned
// counterpart.
template <typename T>
void range_loop(const uint8_t* values, uint32_t count, T low, T span, uint64_t* out) {
  for (uint32_t base = 0; base < count; base += 64) {
    const uint32_t n = std::min<uint32_t>(64, count - base);
    uint8_t hits[64] = {};
    T block[64] = {};
    std::memcpy(block, values + base * sizeof(T), n * sizeof(T));
    for (uint32_t i = 0; i < 64; ++i) hits[i] = static_cast<T>(block[i] - low) <= span;
    uint64_t word = 0;
    for (uint32_t byte = 0; byte < 8;
         ++byte) {  // eight flags to eight bits: each lands in the top byte at its place
      uint64_t eight = 0;
      std::memcpy(&eight, hits + byte * 8, 8);
      word |= ((eight * 0x0102040810204080ULL) >> 56) << (byte * 8);
    }
    out[base / 64] = word;
  }
}

// True where it could be done for a whole block: ranges over integers, dates and times.
bool range_block(const Operand& operand, Storage storage, const uint8_t* values, uint32_t count,
                 uint64_t* out) {
  if (operand.kind != Operand::Kind::kRange || key_class(storage) != KeyClass::kInteger) return false;
  if (operand.none) {
    std::memset(out, 0, (count + 63) / 64 * 8);
    return true;
  }
  switch (fixed_width(storage)) {
    case 1:
      range_loop<uint8_t>(values, count, static_cast<uint8_t>(operand.low),
                          static_cast<uint8_t>(operand.span), out);
      return true;
    case 2:
      range_loop<uint16_t>(values, count, static_cast<uint16_t>(operand.low),
                           static_cast<uint16_t>(operand.span), out);
      return true;
    case 4:
      range_loop<uint32_t>(values, count, static_cast<uint32_t>(operand.low),
                           static_cast<uint32_t>(operand.span), out);
      return true;
    default:
      range_loop<uint64_t>(values, count, operand.low, operand.span, out);
      return true;
  }
}

}  // namespace

bool in_decimals(const Operand& operand, std::string_view text) {
  Decimal value;
  parse_decimal(text, &value);
  if (operand.kind == Operand::Kind::kIn) return operand.strings.contains(canonical(value));
  if (operand.has_low) {
    const int order = compare(value, operand.low_decimal);
    if (order < 0 || (order == 0 && operand.low_strict)) return false;
  }
  if (!operand.has_high) return true;
  const int order = compare(value, operand.high_decimal);
  return order < 0 || (order == 0 && !operand.high_strict);
}

bool float_holds(const Operand& operand, double number) {
  if (operand.kind == Operand::Kind::kIn)
    return operand.integers.contains(std::bit_cast<uint64_t>(number + 0.0));
  return number >= operand.low_float && number <= operand.high_float;
}

bool Filter::like(const Like& like, std::string_view text) {
  uint64_t work = 1 << 16;
  while (true) {
    const uint64_t allowed = work;
    if (like.matches(text, &scratch_, &work)) return true;
    if (work != 0) return false;
    if (!ticker_->spend(allowed / 8))
      return false;  // it gave up: look at the clock, then try again with more
    work = allowed * 8;
  }
}

bool Filter::value(const Operand& operand, const Column& column, uint32_t row) {
  if (operand.kind == Operand::Kind::kLike) return like(operand.like, column.text(row));
  switch (key_class(column.storage)) {
    case KeyClass::kInteger: {
      const uint64_t bits = integer_bits(column, row);
      if (operand.kind == Operand::Kind::kIn) return operand.integers.contains(bits);
      return !operand.none && bits - operand.low <= operand.span;
    }
    case KeyClass::kFloat:
      return float_holds(operand, float_value(column, row));
    case KeyClass::kDecimal:
      return in_decimals(operand, column.text(row));
    default:
      return in_bytes(operand, column.bytes(row));
  }
}

bool Filter::any(const Pred& pred, uint32_t row) {
  const Link& link = snapshot_.link(pred.step.child, pred.step.forward);
  const Table& table = snapshot_.table(pred.step.to);
  if (!pred.step.reverse) {
    const uint32_t to = link.to[row];
    return to != kNoRow && test(pred.kids[0], table, to);
  }
  for (const uint32_t child : link.children(row)) {
    if (!ticker_->spend(1)) return false;
    if (test(pred.kids[0], table, child)) return true;
  }
  return false;
}

bool Filter::aggregate(const Pred& pred, uint32_t row) {
  const AggregateValue value = related_value(snapshot_, pred.step, pred.aggregate, row, ticker_);
  return reflex::holds(this, operands_[pred.operand], pred.negated, pred.aggregate,
                       snapshot_.table(pred.step.to), value);
}

bool Filter::test(const Pred& pred, const Table& table, uint32_t row) {
  switch (pred.kind) {
    case Pred::Kind::kAnd:
      for (const Pred& kid : pred.kids) {
        if (!test(kid, table, row)) return false;
      }
      return true;
    case Pred::Kind::kOr:
      for (const Pred& kid : pred.kids) {
        if (test(kid, table, row)) return true;
      }
      return false;
    case Pred::Kind::kAny:
      return any(pred, row) != pred.negated;
    case Pred::Kind::kAggregate:
      return aggregate(pred, row);
    default:
      break;
  }
  return holds(operands_[pred.operand], pred.negated, table.columns[pred.column], row);
}

bool Filter::holds(const Operand& operand, bool negated, const Column& column, uint32_t row) {
  const bool has = column.has(row);
  if (operand.kind == Operand::Kind::kNull) return has == negated;
  return has && !is_nan(column, row) && value(operand, column, row) != negated;
}

void Filter::test_block(const Pred& pred, const Table& table, uint32_t first, uint32_t count,
                        const Mask& active, Mask& out) {
  assert(count <= kBlock && first % 64 == 0);
  const uint32_t words = (count + 63) / 64;
  if (pred.kind == Pred::Kind::kAnd || pred.kind == Pred::Kind::kOr) {
    const bool all = pred.kind == Pred::Kind::kAnd;
    Mask left;
    Mask found;
    std::memcpy(left, active, sizeof(left));
    std::memset(out, 0, words * 8);
    for (const Pred& kid : pred.kids) {
      test_block(kid, table, first, count, left, found);
      for (uint32_t w = 0; w < words; ++w) {
        out[w] = all ? found[w] : out[w] | found[w];
        left[w] = all ? found[w] : left[w] & ~found[w];
      }
    }
    return;
  }
  const uint32_t in_chunk = first & kChunkMask;
  if (pred.kind == Pred::Kind::kTest) {
    const Column& column = table.columns[pred.column];
    const Chunk& chunk = column.chunk(first);
    const uint8_t* values = chunk.fixed.data() + static_cast<size_t>(in_chunk) * fixed_width(column.storage);
    if (range_block(operands_[pred.operand], column.storage, values, count, out)) {
      for (uint32_t w = 0; w < words; ++w) {
        const uint64_t valid = chunk.valid.empty() ? ~uint64_t{0} : chunk.valid[in_chunk / 64 + w];
        out[w] = (pred.negated ? ~out[w] : out[w]) & valid & active[w];
      }
      return;
    }
  }
  for (uint32_t w = 0; w < words; ++w) {
    uint64_t word = 0;
    for (uint64_t left = active[w]; left != 0; left &= left - 1) {
      const auto i = static_cast<uint32_t>(std::countr_zero(left));
      if (test(pred, table, first + w * 64 + i)) word |= uint64_t{1} << i;
    }
    out[w] = word;
  }
}

}  // namespace reflex
