#include "filter.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "folding.h"
#include "group.h"
#include "order_related.h"
#include "ordered_text.h"
#include "through.h"

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
  if (operand.folding != nullptr) return operand.strings.contains(folded(*operand.folding, bytes));
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

bool in_set(const std::vector<uint64_t>& bits, uint32_t row) { return (bits[row >> 6] >> (row & 63)) & 1; }

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

bool Filter::text_value(const Operand& operand, Storage storage, std::string_view text) {
  if (operand.kind == Operand::Kind::kLike) return like(operand.like, text);
  if (is_ordered_text(storage)) return in_bytes(operand, ordered_key(storage, text));
  return storage == Storage::kDecimal ? in_decimals(operand, text) : in_bytes(operand, text);
}

bool Filter::text_holds(const Operand& operand, bool negated, Storage storage, std::string_view text) {
  if (storage == Storage::kDecimal && text == "NaN") return false;
  return text_value(operand, storage, text) != negated;
}

bool Filter::value(const Operand& operand, const Column& column, uint32_t row) {
  if (fixed_width(column.storage) == 0) return text_value(operand, column.storage, column.text(row));
  switch (key_class(column.storage)) {
    case KeyClass::kInteger: {
      const uint64_t bits = integer_bits(column, row);
      if (operand.kind == Operand::Kind::kIn) return operand.integers.contains(bits);
      return !operand.none && bits - operand.low <= operand.span;
    }
    case KeyClass::kFloat:
      return float_holds(operand, float_value(column, row));
    default:
      return in_bytes(operand, column.bytes(row));
  }
}

// Null where testing every entry is not worth it: few rows are wanted, as far as is known.
const CodeMatches* Filter::matches_for(const Pred& pred, Storage storage, const Chunk& chunk,
                                       uint32_t count) {
  constexpr uint32_t kFewEntries = 256;
  auto known = std::ranges::find(coded_, &pred, &Coded::pred);
  if (known == coded_.end()) known = coded_.insert(coded_.end(), {&pred, nullptr, {}});
  if (known->chunk == &chunk) return &known->matches;
  if (chunk.entries() > kFewEntries && count < kBlock) return nullptr;
  if (!ticker_->spend(chunk.entries())) return nullptr;
  known->chunk = &chunk;
  std::vector<uint8_t>& by_code = known->matches.by_code;
  by_code.resize(chunk.entries());
  const Operand& operand = operands_[pred.operand];
  for (uint32_t code = 0; code < chunk.entries(); ++code) {
    by_code[code] = text_holds(operand, pred.negated, storage, chunk.entry(code));
  }
  known->matches.find_run();
  return &known->matches;
}

// Values of varying length, by their codes where they have some, else one after the other. False: they are
// something else. Nulls are not looked at.
bool Filter::test_texts(const Pred& pred, const Column& column, uint32_t first, uint32_t count,
                        const Mask& active, Mask& out) {
  const auto [chunk, in_chunk] = column.cell(first);
  const Operand& operand = operands_[pred.operand];
  if (fixed_width(column.storage) != 0 || operand.kind == Operand::Kind::kNull) return false;
  if (chunk.has_codes()) {
    const auto* matches = matches_for(pred, column.storage, chunk, count);
    if (matches != nullptr) {
      test_codes(*matches, chunk, in_chunk, count, out);
      return true;
    }
  }
  for (uint32_t w = 0; w * 64 < count; ++w) {
    uint64_t word = 0;
    uint64_t left = active[w] & chunk.valid_word(in_chunk + w * 64);
    for (; left != 0; left &= left - 1) {
      const auto i = static_cast<uint32_t>(std::countr_zero(left));
      const std::string_view text = chunk.text(in_chunk + w * 64 + i);
      if (text_holds(operand, pred.negated, column.storage, text)) word |= uint64_t{1} << i;
    }
    out[w] = word;
  }
  return true;
}

bool Filter::any(const Pred& pred, uint32_t row) {
  const Link& link = snapshot_.link(pred.step.child, pred.step.forward);
  const Table& table = snapshot_.table(pred.step.to);
  if (!pred.step.reverse) {
    const uint32_t to = link.to.get(row);
    ++tested_;
    return to != kNoRow && test(pred.kids[0], table, to);
  }
  const Link* const onward = pred.step.through ? &snapshot_.link(pred.step.child, pred.step.onward) : nullptr;
  for (const uint32_t child : link.children(row)) {
    if (!ticker_->spend(1)) return false;
    ++tested_;
    const uint32_t to = onward == nullptr ? child : onward->to.get(child);
    if (to != kNoRow && test(pred.kids[0], table, to)) return true;
  }
  return false;
}

void Filter::fetch(const Pred& pred, const Table& table, std::span<const uint32_t> rows) {
  if (pred.kind == Pred::Kind::kAnd || pred.kind == Pred::Kind::kOr) {
    for (const Pred& kid : pred.kids) fetch(kid, table, rows);
  } else if (pred.kind == Pred::Kind::kTest) {
    fetch_values(table.columns[pred.column], rows);
  } else if (pred.kind == Pred::Kind::kAny && !pred.step.reverse) {
    const Link& link = snapshot_.link(pred.step.child, pred.step.forward);
    for (const uint32_t row : rows) __builtin_prefetch(link.to.place(row));
    uint32_t parents[64];
    uint32_t n = 0;
    for (const uint32_t row : rows) {
      const uint32_t to = link.to.get(row);
      if (to != kNoRow) parents[n++] = to;
    }
    fetch(pred.kids[0], snapshot_.table(pred.step.to), {parents, n});
  }
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

Filter::Related& Filter::related_for(const Pred& pred) {
  const auto known = std::find_if(related_.begin(), related_.end(),
                                  [&](const auto& related) { return related->pred == &pred; });
  if (known != related_.end()) return **known;
  related_.push_back(std::make_unique<Related>());
  related_.back()->pred = &pred;
  return *related_.back();
}

// Testing the other table at once costs about an eighth of testing as many related rows one by one. It is
// done once that much has been spent, so that a query that soon has its rows never pays for it.
bool Filter::prepared(const Pred& pred, const Table& table, Related* related) {
  if (!related->rows.empty()) return true;
  const Table& tested = snapshot_.table(pred.step.to);
  if (tested.rows == 0 || related->tested < tested.rows / 8) return false;
  const Link& link = snapshot_.link(pred.step.child, pred.step.forward);
  const uint32_t known = pred.step.reverse ? table.rows : tested.rows;
  related->rows.assign((known + 63) / 64, 0);
  std::vector<uint64_t> joined(pred.step.through ? (size_t{tested.rows} + 63) / 64 : 0);
  std::vector<uint64_t>& ends = pred.step.through ? joined : related->rows;
  for (uint64_t first = 0; first < tested.rows; first += kBlock) {
    const auto count = static_cast<uint32_t>(std::min<uint64_t>(kBlock, tested.rows - first));
    if (!ticker_->spend(count)) break;  // the query ends without an answer
    Mask active;
    Mask found;
    fill_mask(tested, static_cast<uint32_t>(first), count, active);
    test_block(pred.kids[0], tested, static_cast<uint32_t>(first), count, active, found);
    for (uint32_t w = 0; w * 64 < count; ++w) {
      if (!pred.step.reverse || pred.step.through) {
        ends[first / 64 + w] = found[w];
        continue;
      }
      const uint32_t* to = link.to.run(first + w * 64);  // 64 rows are in one page
      for (uint64_t left = to != nullptr ? found[w] : 0; left != 0; left &= left - 1) {
        const uint32_t parent = to[std::countr_zero(left)];
        if (parent != kNoRow) related->rows[parent >> 6] |= uint64_t{1} << (parent & 63);
      }
    }
  }
  if (pred.step.through) mark_joined(snapshot_, pred.step, joined, &related->rows);
  return true;
}

Filter::Related* Filter::prepared_for(const Pred& pred, const Table& table) {
  if (pred.kind != Pred::Kind::kAny) return nullptr;
  Related& related = related_for(pred);
  return prepared(pred, table, &related) ? &related : nullptr;
}

void Filter::fill_mask(const Table& table, uint32_t first, uint32_t count, Mask& mask) {
  assert(first % 64 == 0);
  for (uint32_t w = 0; w < kBlock / 64; ++w) {
    const uint32_t have = count > w * 64 ? count - w * 64 : 0;
    mask[w] = have >= 64 ? ~uint64_t{0} : (uint64_t{1} << have) - 1;
    if (table.dead != 0 && have != 0) mask[w] &= table.live_word(first + w * 64);
  }
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
  if (pred.kind == Pred::Kind::kTest) {
    const Column& column = table.columns[pred.column];
    const auto [chunk, in_chunk] = column.cell(first);
    if (test_values(operands_[pred.operand], column.storage, chunk, in_chunk, count, pred.negated, out) ||
        test_texts(pred, column, first, count, active, out)) {
      for (uint32_t w = 0; w < words; ++w) {
        out[w] &= chunk.valid_word(in_chunk + w * 64) & active[w];
      }
      return;
    }
  } else if (Related* related = prepared_for(pred, table)) {
    const Link& link = snapshot_.link(pred.step.child, pred.step.forward);
    for (uint32_t w = 0; w < words; ++w) {
      uint64_t word = 0;
      if (pred.step.reverse) {
        word = related->rows[first / 64 + w];
      } else {
        const uint32_t* parents = link.to.run(first + w * 64);
        for (uint64_t left = parents != nullptr ? active[w] : 0; left != 0; left &= left - 1) {
          const int i = std::countr_zero(left);
          const uint32_t to = parents[i];
          if (to != kNoRow && in_set(related->rows, to)) word |= uint64_t{1} << i;
        }
      }
      out[w] = (pred.negated ? ~word : word) & active[w];
    }
    return;
  }
  const uint64_t before = tested_;
  for (uint32_t w = 0; w < words; ++w) {
    uint64_t word = 0;
    if (pred.kind == Pred::Kind::kAny) {
      uint32_t rows[64];
      uint32_t n = 0;
      for (uint64_t left = active[w]; left != 0; left &= left - 1)
        rows[n++] = first + w * 64 + static_cast<uint32_t>(std::countr_zero(left));
      fetch(pred, table, {rows, n});
    }
    for (uint64_t left = active[w]; left != 0; left &= left - 1) {
      const auto i = static_cast<uint32_t>(std::countr_zero(left));
      if (test(pred, table, first + w * 64 + i)) word |= uint64_t{1} << i;
    }
    out[w] = word;
  }
  if (pred.kind == Pred::Kind::kAny) related_for(pred).tested += tested_ - before;
}

}  // namespace reflex
