// Testing rows against a predicate. Belongs to one query in one thread.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "block.h"
#include "plan.h"
#include "store.h"
#include "ticker.h"

namespace reflex {

// Is the decimal `text` among what `operand` allows?
bool in_decimals(const Operand& operand, std::string_view text);
bool float_holds(const Operand& operand, double number);

class Filter {
 public:
  Filter(const Snapshot& snapshot, const std::vector<Operand>& operands, Ticker* ticker)
      : snapshot_(snapshot), operands_(operands), ticker_(ticker) {}

  // Is `pred` true for `row` of `table`? False once time is over.
  bool test(const Pred& pred, const Table& table, uint32_t row);

  // One value against one operand, `negated` aside. Null and NaN fulfil nothing but IS NULL.
  bool holds(const Operand& operand, bool negated, const Column& column, uint32_t row);

  // Sets bit i of `out` where `pred` is true for row `first` + i, of those whose bit in `active` is set.
  // Requires: the rows lie in one aligned run of kBlock rows.
  static constexpr uint32_t kBlock = kPageRows;
  using Mask = uint64_t[kBlock / 64];
  void test_block(const Pred& pred, const Table& table, uint32_t first, uint32_t count, const Mask& active,
                  Mask& out);
  // Those of the `count` rows from `first` on that are rows of the table now.
  static void fill_mask(const Table& table, uint32_t first, uint32_t count, Mask& mask);

 private:
  // What is known of one kAny: for a relation to a parent, which parents match; to children, which rows have
  // a child that does.
  struct Related {
    const Pred* pred = nullptr;
    uint64_t tested = 0;         // related rows, one by one
    std::vector<uint64_t> rows;  // bits; empty until it is worth it
  };

  // Which entries of a chunk's dictionary fulfil a test: of the last chunk that was tested.
  struct Coded {
    const Pred* pred = nullptr;
    const Chunk* chunk = nullptr;
    CodeMatches matches;
  };

  Related& related_for(const Pred& pred);
  // Null where the predicate is none over related rows, or is better tested row by row.
  Related* prepared_for(const Pred& pred, const Table& table);
  bool prepared(const Pred& pred, const Table& table, Related* related);
  // Asks for the memory that testing the rows, at most 64, will read; changes nothing but time.
  void fetch(const Pred& pred, const Table& table, std::span<const uint32_t> rows);
  bool any(const Pred& pred, uint32_t row);
  bool aggregate(const Pred& pred, uint32_t row);
  bool value(const Operand& operand, const Column& column, uint32_t row);
  bool text_value(const Operand& operand, Storage storage, std::string_view text);
  // `text` against the operand, negated or not; a decimal's NaN fulfils nothing.
  bool text_holds(const Operand& operand, bool negated, Storage storage, std::string_view text);
  bool test_texts(const Pred& pred, const Column& column, uint32_t first, uint32_t count, const Mask& active,
                  Mask& out);
  const CodeMatches* matches_for(const Pred& pred, Storage storage, const Chunk& chunk, uint32_t count);
  bool like(const Like& like, std::string_view text);

  const Snapshot& snapshot_;
  const std::vector<Operand>& operands_;
  Ticker* ticker_;
  std::string scratch_;
  std::vector<std::unique_ptr<Related>> related_;
  std::vector<Coded> coded_;
  uint64_t tested_ = 0;  // related rows, one by one, for all
};

}  // namespace reflex
