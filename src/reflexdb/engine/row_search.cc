#include "row_search.h"

#include <cstring>
#include <string_view>
#include <unordered_map>

#include "column_edit.h"
#include "feed_rows.h"
#include "hash_index.h"
#include "json_out.h"

namespace reflex {

namespace {

template <typename T>
bool take_number(ColumnDecoder* decoder, T* out) {
  const uint8_t* bytes = decoder->take(sizeof(T));
  if (bytes == nullptr) return false;
  std::memcpy(out, bytes, sizeof(T));
  return true;
}

// A count and as many columns of the table, at least one.
Status read_columns(ColumnDecoder* decoder, const TableDef& def, std::vector<uint16_t>* out) {
  uint16_t count = 0;
  if (!take_number(decoder, &count) || count == 0)
    return decoder->broken("it has no valid number of columns");
  out->clear();
  for (uint16_t i = 0; i < count; ++i) {
    uint16_t column = 0;
    if (!take_number(decoder, &column) || column >= def.columns.size())
      return decoder->broken("it names a column that there is not");
    out->push_back(column);
  }
  return {};
}

Status read_values(ColumnDecoder* decoder, const TableDef& def, std::span<const uint16_t> columns,
                   KeyBatch* out) {
  out->storages.clear();
  out->columns.clear();
  for (const uint16_t column : columns) {
    out->storages.push_back(def.columns[column].storage);
    ColumnBatch& batch = out->columns.emplace_back();
    const Status status = decoder->read(def.columns[column], out->count, &batch);
    if (!status.ok()) return status;
    for (uint32_t i = 0; i < out->count; ++i) {
      if (!batch.has(i)) return {"invalid_rows", "Table `" + std::string(def.name) + "`: a key has a null."};
    }
  }
  return decoder->at_end() ? Status{} : decoder->broken("bytes follow its last column");
}

// Compares values of some columns of a table as its keys compare.
class Compare {
 public:
  Compare(Columns table, KeyColumns columns) : table_(table), columns_(columns) {}

  bool equal(std::span<const KeyPart> a, std::span<const KeyPart> b) const {
    for (size_t i = 0; i < a.size(); ++i) {
      if (!equal_keys(a[i], b[i], table_[columns_[i]].folding)) return false;
    }
    return true;
  }

  uint64_t hash(std::span<const KeyPart> parts) const {
    uint64_t mixed = 0;
    for (size_t i = 0; i < parts.size(); ++i)
      mixed = (mixed * 0x9E3779B97F4A7C15u) ^ hash_key(parts[i], table_[columns_[i]].folding);
    return mixed;
  }

 private:
  Columns table_;
  KeyColumns columns_;
};

void append_hex(std::string_view bytes, std::string* out) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  out->push_back('"');
  for (const char c : bytes) {
    const auto byte = static_cast<uint8_t>(c);
    out->push_back(kDigits[byte >> 4]);
    out->push_back(kDigits[byte & 15]);
  }
  out->push_back('"');
}

void append_value(const Column& column, uint32_t row, std::string* out) {
  if (!column.has(row)) {
    out->append("null");
    return;
  }
  if (column.storage == Storage::kUuid || column.storage == Storage::kBinary) {
    append_hex(column.bytes(row), out);
  } else if (key_class(column.storage) == KeyClass::kInteger) {
    const Int128 value = integer_value(column, row);
    out->append(value < 0 ? std::to_string(static_cast<int64_t>(value))
                          : std::to_string(static_cast<uint64_t>(value)));
  } else {
    append_json_string(out, column.text(row));
  }
}

}  // namespace

void KeyBatch::read(uint32_t i, std::vector<KeyPart>* parts) const {
  parts->clear();
  for (size_t column = 0; column < columns.size(); ++column)
    parts->push_back(key_part(storages[column], columns[column], i));
}

Status decode_keys(std::span<const uint8_t> body, const SchemaDef& schema, KeyBatch* out) {
  if (!rows_table(body, &out->table)) return {"protocol_error", "A TABLE_KEYS frame ends within its header."};
  if (out->table >= schema.tables.size())
    return {"protocol_error", "There is no table with index " + std::to_string(out->table) + "."};
  const TableDef& def = schema.tables[out->table];
  ColumnDecoder decoder("TABLE_KEYS", body, def, 0);
  if (decoder.take(sizeof out->table) == nullptr || !take_number(&decoder, &out->count))
    return decoder.broken("it ends within its header");
  if (def.primary_key.empty()) return decoder.broken("its table has no primary key");
  return read_values(&decoder, def, def.primary_key, out);
}

Status decode_search(std::span<const uint8_t> body, const SchemaDef& schema, RowSearch* out) {
  if (!rows_table(body, &out->table)) return {"protocol_error", "A TABLE_FIND frame ends within its header."};
  if (out->table >= schema.tables.size())
    return {"protocol_error", "There is no table with index " + std::to_string(out->table) + "."};
  const TableDef& def = schema.tables[out->table];
  ColumnDecoder decoder("TABLE_FIND", body, def, 0);
  if (decoder.take(sizeof out->table) == nullptr || !take_number(&decoder, &out->most))
    return decoder.broken("it ends within its header");
  Status status = read_columns(&decoder, def, &out->columns);
  if (status.ok()) status = read_columns(&decoder, def, &out->wanted);
  if (!status.ok()) return status;
  for (const uint16_t column : out->wanted) {
    if (key_class(def.columns[column].storage) == KeyClass::kFloat)
      return decoder.broken_column(def.columns[column], "holds floating point numbers");
  }
  if (!take_number(&decoder, &out->values.count)) return decoder.broken("it ends within its header");
  out->values.table = out->table;
  return read_values(&decoder, def, out->columns, &out->values);
}

void RowSearch::run(const Table& rows, std::string* out) const {
  const Compare compare(rows.columns, columns);
  std::unordered_multimap<uint64_t, uint32_t> places;
  std::vector<KeyPart> found;
  for (uint32_t i = 0; i < values.count; ++i) {
    values.read(i, &found);
    places.emplace(compare.hash(found), i);
  }
  std::vector<KeyPart> parts(columns.size());
  uint32_t count = 0;
  bool more = false;
  out->append("{\"rows\":[");
  each_row(rows, [&](uint32_t row) {
    if (more || !read_key(rows.columns, columns, row, parts)) return;
    const auto [first, last] = places.equal_range(compare.hash(parts));
    for (auto at = first; at != last; ++at) {
      values.read(at->second, &found);
      if (!compare.equal(found, parts)) continue;
      if (count == most) {
        more = true;
        return;
      }
      out->append(count++ == 0 ? "[" : ",[");
      for (size_t i = 0; i < wanted.size(); ++i) {
        if (i != 0) out->push_back(',');
        append_value(rows.columns[wanted[i]], row, out);
      }
      out->push_back(']');
      return;
    }
  });
  out->append(more ? "],\"more\":true}" : "],\"more\":false}");
}

}  // namespace reflex
