#include "feed_changes.h"

#include <cstring>

#include "feed_rows.h"

namespace reflex {

namespace {

constexpr size_t kHead = 8;  // table, changes

Status read_ops(ColumnDecoder* decoder, uint32_t count, std::vector<ChangeOp>* ops) {
  const uint8_t* bytes = decoder->take(count);
  if (bytes == nullptr) return decoder->broken("it ends within its kinds of change");
  ops->clear();
  ops->reserve(count);
  for (uint32_t i = 0; i < count; ++i) {
    if (bytes[i] < static_cast<uint8_t>(ChangeOp::kInsert) ||
        bytes[i] > static_cast<uint8_t>(ChangeOp::kDelete))
      return decoder->broken("a change is neither insert, update nor delete");
    ops->push_back(static_cast<ChangeOp>(bytes[i]));
  }
  return {};
}

}  // namespace

Status decode_changes(std::span<const uint8_t> body, const SchemaDef& schema, uint32_t* table,
                      ChangeBatch* out) {
  if (!rows_table(body, table)) return {"protocol_error", "A CHANGES frame ends within its header."};
  if (*table >= schema.tables.size())
    return {"protocol_error", "There is no table with index " + std::to_string(*table) + "."};
  const TableDef& def = schema.tables[*table];
  ColumnDecoder decoder("CHANGES", body, def, 0);
  const uint8_t* head = decoder.take(kHead);
  if (head == nullptr) return decoder.broken("it ends within its header");
  uint32_t count = 0;
  std::memcpy(&count, head + 4, sizeof(count));
  Status status = read_ops(&decoder, count, &out->ops);
  if (!status.ok()) return status;
  uint32_t keys = 0;
  uint32_t rows = 0;
  for (const ChangeOp op : out->ops) {
    keys += op != ChangeOp::kInsert ? 1 : 0;
    rows += op != ChangeOp::kDelete ? 1 : 0;
  }
  if (keys != 0 && def.primary_key.empty())
    return decoder.broken("the table has no primary key, so that rows can only be inserted");
  out->keys.clear();
  for (const uint16_t column : def.primary_key) {
    status = decoder.read(def.columns[column], keys, &out->keys.emplace_back());
    if (!status.ok()) return status;
  }
  out->rows.clear();
  out->unchanged.assign(def.columns.size(), nullptr);
  for (size_t i = 0; i < def.columns.size(); ++i) {
    const uint8_t* left_out = decoder.take(1);
    if (left_out == nullptr || *left_out > 1)
      return decoder.broken_column(def.columns[i], "has no valid flag");
    if (*left_out == 1) {
      out->unchanged[i] = decoder.take((static_cast<uint64_t>(rows) + 7) / 8);
      if (out->unchanged[i] == nullptr)
        return decoder.broken_column(def.columns[i], "ends within its bits of unchanged values");
    }
    status = decoder.read(def.columns[i], rows, &out->rows.emplace_back());
    if (!status.ok()) return status;
  }
  if (!decoder.at_end()) return decoder.broken("bytes follow its last column");
  uint32_t row = 0;
  for (const ChangeOp op : out->ops) {
    if (op == ChangeOp::kDelete) continue;
    for (size_t i = 0; i < def.columns.size() && op == ChangeOp::kInsert; ++i) {
      if (out->unchanged[i] != nullptr && ((out->unchanged[i][row >> 3] >> (row & 7)) & 1) != 0)
        return decoder.broken_column(def.columns[i], "leaves out a value of a new row");
    }
    ++row;
  }
  return {};
}

}  // namespace reflex
