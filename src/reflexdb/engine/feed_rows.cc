#include "feed_rows.h"

#include <cstring>
#include <string>

#include "decimal.h"
#include "json_check.h"
#include "utf8.h"

namespace reflex {

namespace {

// Text that is valid as a whole is valid in parts if no part starts inside a code point: one pass over the
// bytes for most columns.
bool all_utf8(const ColumnBatch& batch) {
  const uint32_t size = batch.offset(batch.rows);
  if (utf8_error({batch.bytes, size}) != std::string_view::npos) return false;
  for (uint32_t i = 0; i < batch.rows; ++i) {
    const uint32_t at = batch.offset(i);
    if (at < size && utf8_is_continuation(batch.bytes[at])) return false;
  }
  return true;
}

}  // namespace

const uint8_t* ColumnDecoder::take(uint64_t count) {
  if (count > body_.size() - at_) return nullptr;
  const uint8_t* bytes = body_.data() + at_;
  at_ += count;
  return bytes;
}

Status ColumnDecoder::broken(const std::string& why) const {
  return {"protocol_error", "A " + std::string(frame_) + " frame for table `" + std::string(table_.name) +
                                "` does not parse: " + why + "."};
}

Status ColumnDecoder::broken_column(const ColumnDef& column, const std::string& why) const {
  return broken("column `" + std::string(column.name) + "` " + why);
}

Status ColumnDecoder::invalid(const ColumnDef& column, uint32_t row, const std::string& why) const {
  return {"invalid_rows", "Table `" + std::string(table_.name) + "`, column `" + std::string(column.name) +
                              "`, row " + std::to_string(rows_before_ + row + 1) +
                              " (in the order sent): " + why + "."};
}

Status ColumnDecoder::read(const ColumnDef& column, uint32_t rows, ColumnBatch* batch) {
  batch->rows = rows;
  const uint8_t* has_nulls = take(1);
  if (has_nulls == nullptr) return broken_column(column, "is missing");
  if (*has_nulls > 1) return broken_column(column, "has a flag that is neither 0 nor 1");
  if (*has_nulls == 1) {
    batch->valid = take((static_cast<uint64_t>(rows) + 7) / 8);
    if (batch->valid == nullptr) return broken_column(column, "ends within its validity bits");
  }
  const uint32_t width = fixed_width(column.storage);
  return width != 0 ? read_fixed(column, width, batch) : read_variable(column, batch);
}

Status ColumnDecoder::read_fixed(const ColumnDef& column, uint32_t width, ColumnBatch* batch) {
  batch->fixed = take(static_cast<uint64_t>(batch->rows) * width);
  if (batch->fixed == nullptr) return broken_column(column, "ends within its values");
  if (column.storage != Storage::kBool) return {};
  for (uint32_t i = 0; i < batch->rows; ++i) {
    if (batch->has(i) && batch->fixed[i] > 1) return invalid(column, i, "a boolean is neither 0 nor 1");
  }
  return {};
}

Status ColumnDecoder::read_variable(const ColumnDef& column, ColumnBatch* batch) {
  const uint32_t rows = batch->rows;
  batch->offsets = take((static_cast<uint64_t>(rows) + 1) * 4);
  if (batch->offsets == nullptr) return broken_column(column, "ends within its offsets");
  if (batch->offset(0) != 0) return broken_column(column, "has offsets that do not start at 0");
  for (uint32_t i = 0; i < rows; ++i) {
    if (batch->offset(i) > batch->offset(i + 1)) return broken_column(column, "has offsets that descend");
  }
  const uint8_t* bytes = take(batch->offset(rows));
  if (bytes == nullptr) return broken_column(column, "ends within its bytes");
  batch->bytes = reinterpret_cast<const char*>(bytes);
  return column.storage == Storage::kBinary ? Status{} : check_values(column, *batch);
}

Status ColumnDecoder::check_values(const ColumnDef& column, const ColumnBatch& batch) const {
  const bool utf8 = all_utf8(batch);
  const bool each = column.storage == Storage::kJson || column.storage == Storage::kDecimal;
  if (utf8 && !each) return {};
  for (uint32_t i = 0; i < batch.rows; ++i) {
    if (!batch.has(i)) continue;
    const std::string_view text = batch.text(i);
    if (!utf8 && utf8_error(text) != std::string_view::npos)
      return invalid(column, i, "the text is not valid UTF-8");
    if (column.storage == Storage::kJson && !json_valid(text)) {
      return invalid(column, i,
                     "the value is not valid JSON of at most " + std::to_string(kMaxJsonLevels) + " levels");
    }
    Decimal decimal;
    if (column.storage == Storage::kDecimal && !parse_decimal(text, &decimal)) {
      return invalid(column, i, "the value is not a decimal number");
    }
  }
  return {};
}

bool rows_table(std::span<const uint8_t> body, uint32_t* table) {
  if (body.size() < sizeof(*table)) return false;
  std::memcpy(table, body.data(), sizeof(*table));
  return true;
}

Status decode_rows(std::span<const uint8_t> body, const TableDef& table, uint64_t rows_before,
                   std::vector<ColumnBatch>* batches) {
  ColumnDecoder decoder("ROWS", body, table, rows_before);
  const uint8_t* head = decoder.take(8);
  if (head == nullptr) return decoder.broken("it ends within its header");
  uint32_t rows = 0;
  std::memcpy(&rows, head + 4, sizeof(rows));
  batches->clear();
  for (const ColumnDef& column : table.columns) {
    const Status status = decoder.read(column, rows, &batches->emplace_back());
    if (!status.ok()) return status;
  }
  return decoder.at_end() ? Status{} : decoder.broken("bytes follow its last column");
}

}  // namespace reflex
