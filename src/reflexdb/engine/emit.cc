#include "emit.h"

#include <cmath>
#include <cstdint>

#include "time_text.h"

namespace reflex {

namespace {

char* write_null(char* at) {
  std::memcpy(at, "null", 4);
  return at + 4;
}

// Without a branch: what a row has is as good as random, and a wrong guess would wait for the memory.
char* write_bool(bool value, char* at) {
  static constexpr char kWords[2][8] = {"false", "true"};
  std::memcpy(at, kWords[value ? 1 : 0], 8);
  return at + (value ? 4 : 5);
}

template <typename T>
char* write_signed(T value, char* at) {
  const auto wide = static_cast<int64_t>(value);
  if (wide >= 0) return write_integer(static_cast<uint64_t>(wide), at);
  *at = '-';
  return write_integer(0 - static_cast<uint64_t>(wide), at + 1);
}

template <typename T>
char* write_float(T value, char* at) {
  if (!std::isfinite(value)) return write_null(at);
  return std::to_chars(at, at + kValueRoom, value).ptr;  // the shortest that reads back the same
}

// Text of any length, as it is.
char* write_plain(std::string_view text, char* at, Writer* writer) {
  if (!writer->fits(at, text.size())) [[unlikely]] {
    writer->advance(at);
    writer->put(text);
    return writer->open();
  }
  copy_piece(at, text.data(), text.size());
  return at + text.size();
}

// "-007.50" is no JSON number; what a source prints rarely looks so.
char* write_decimal(std::string_view text, char* at, Writer* writer) {
  if (text.ends_with('N') || text.ends_with('y')) return write_null(at);
  if (text.starts_with('-')) {
    *at++ = '-';
    text.remove_prefix(1);
  }
  while (text.size() > 1 && text[0] == '0' && text[1] != '.') text.remove_prefix(1);
  return write_plain(text, at, writer);
}

char* write_text(std::string_view text, bool escaped, char* at, Writer* writer) {
  if (!escaped && writer->fits(at, text.size() + 2)) [[likely]] {
    *at = '"';
    copy_piece(at + 1, text.data(), text.size());
    at[text.size() + 1] = '"';
    return at + text.size() + 2;
  }
  writer->advance(at);
  escaped ? writer->escaped(text) : writer->quoted(text);
  return writer->open();
}

template <typename Write>
char* write_quoted(char* at, Write write) {
  *at = '"';
  at = write(at + 1);
  *at = '"';
  return at + 1;
}

}  // namespace

char* write_value(const Cell& cell, Storage storage, char* at, Writer* writer) {
  const Chunk& chunk = cell.chunk;
  const uint32_t i = cell.i;
  if (!chunk.has(i)) return write_null(at);
  switch (storage) {
    case Storage::kBool:
      return write_bool(chunk.get<uint8_t>(i) != 0, at);
    case Storage::kI16:
      return write_signed(chunk.get<int16_t>(i), at);
    case Storage::kI32:
      return write_signed(chunk.get<int32_t>(i), at);
    case Storage::kI64:
      return write_signed(chunk.get<int64_t>(i), at);
    case Storage::kU64:
      return write_integer(chunk.get<uint64_t>(i), at);
    case Storage::kF32:
      return write_float(chunk.get<float>(i), at);
    case Storage::kF64:
      return write_float(chunk.get<double>(i), at);
    case Storage::kDecimal:
      return write_decimal(chunk.text(i), at, writer);
    case Storage::kDate:
      return write_quoted(at, [&](char* to) { return write_date(chunk.get<int32_t>(i), to); });
    case Storage::kDatetime:
      return write_quoted(at, [&](char* to) { return write_datetime(chunk.get<int64_t>(i), false, to); });
    case Storage::kTimestamp:
      return write_quoted(at, [&](char* to) { return write_datetime(chunk.get<int64_t>(i), true, to); });
    case Storage::kTime:
    case Storage::kText:
    case Storage::kEnum:
    case Storage::kInterval:
      if (chunk.ready != nullptr) return write_plain(chunk.ready->entry(chunk.code(i)), at, writer);
      return write_text(chunk.text(i), chunk.escaped(i), at, writer);
    case Storage::kUuid:
      return write_quoted(at, [&](char* to) { return write_uuid(chunk.uuid(i), to); });
    case Storage::kJson:
      return write_plain(chunk.text(i), at, writer);
    case Storage::kBinary:
      writer->advance(at);
      writer->base64(chunk.text(i));
      return writer->open();
  }
  return at;
}

char* write_integer_value(Int128 value, char* at) {
  if (value >= 0) return write_integer(static_cast<uint64_t>(value), at);
  *at = '-';
  return write_integer(static_cast<uint64_t>(-value), at + 1);
}

void emit_value(const Column& column, uint32_t row, Writer* writer) {
  writer->advance(write_value(column.cell(row), column.storage, writer->open(), writer));
}

}  // namespace reflex
