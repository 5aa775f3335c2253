// Decodes columns and the body of a ROWS frame (doc/feed.md, "Columns of a ROWS frame"), trusting nothing in
// it.
//
// Every length is checked against the frame before anything is read; text, JSON and decimals are checked
// value by value before they are stored, so that no later part of the engine has to.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "column.h"
#include "schema.h"
#include "snapshot.h"

namespace reflex {

// Reads the table's index, the first four bytes of a body. False where there are fewer.
bool rows_table(std::span<const uint8_t> body, uint32_t* table);

// Splits a body into one batch per column of `table`; the batches borrow `body`. `rows_before` only counts
// rows for messages.
Status decode_rows(std::span<const uint8_t> body, const TableDef& table, uint64_t rows_before,
                   std::vector<ColumnBatch>* batches);

// Walks over a frame's body. What it answers borrows the body.
class ColumnDecoder {
 public:
  ColumnDecoder(std::string_view frame, std::span<const uint8_t> body, const TableDef& table,
                uint64_t rows_before)
      : frame_(frame), body_(body), table_(table), rows_before_(rows_before) {}

  // The next bytes, or null where there are not that many.
  const uint8_t* take(uint64_t count);
  Status read(const ColumnDef& column, uint32_t rows, ColumnBatch* batch);
  bool at_end() const { return at_ == body_.size(); }
  // The frame does not parse.
  Status broken(const std::string& why) const;
  Status broken_column(const ColumnDef& column, const std::string& why) const;

 private:
  Status invalid(const ColumnDef& column, uint32_t row, const std::string& why) const;
  Status read_fixed(const ColumnDef& column, uint32_t width, ColumnBatch* batch);
  Status read_variable(const ColumnDef& column, ColumnBatch* batch);
  Status check_values(const ColumnDef& column, const ColumnBatch& batch) const;

  std::string_view frame_;
  std::span<const uint8_t> body_;
  const TableDef& table_;
  uint64_t rows_before_;
  size_t at_ = 0;
};

}  // namespace reflex
