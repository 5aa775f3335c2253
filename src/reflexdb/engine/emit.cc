#include "emit.h"

#include <cmath>

#include "time_text.h"

namespace reflex {

namespace {

template <typename T>
void emit_float(T value, Writer* writer) {
  if (!std::isfinite(value)) {
    writer->put("null");
  } else {
    writer->number(value);  // std::to_chars: the shortest text that reads back the same
  }
}

// "-007.50" is no JSON number; what a source prints rarely looks so.
void emit_decimal(std::string_view text, Writer* writer) {
  if (text.ends_with('N') || text.ends_with('y')) {
    writer->put("null");
    return;
  }
  if (text.starts_with('-')) {
    writer->put('-');
    text.remove_prefix(1);
  }
  while (text.size() > 1 && text[0] == '0' && text[1] != '.') text.remove_prefix(1);
  writer->put(text);
}

template <typename Write>
void emit_quoted(Writer* writer, Write write) {
  char* to = writer->reserve();
  *to++ = '"';
  to = write(to);
  *to++ = '"';
  writer->advance(to);
}

}  // namespace

void emit_value(const Column& column, uint32_t row, Writer* writer) {
  const Cell cell = column.cell(row);
  const Chunk& chunk = cell.chunk;
  const uint32_t i = cell.i;
  if (!chunk.has(i)) {
    writer->put("null");
    return;
  }
  switch (column.storage) {
    case Storage::kBool:
      writer->put(chunk.get<uint8_t>(i) != 0 ? "true" : "false");
      break;
    case Storage::kI16:
      writer->number(chunk.get<int16_t>(i));
      break;
    case Storage::kI32:
      writer->number(chunk.get<int32_t>(i));
      break;
    case Storage::kI64:
      writer->number(chunk.get<int64_t>(i));
      break;
    case Storage::kU64:
      writer->number(chunk.get<uint64_t>(i));
      break;
    case Storage::kF32:
      emit_float(chunk.get<float>(i), writer);
      break;
    case Storage::kF64:
      emit_float(chunk.get<double>(i), writer);
      break;
    case Storage::kDecimal:
      emit_decimal(chunk.text(i), writer);
      break;
    case Storage::kDate:
      emit_quoted(writer, [&](char* to) { return write_date(chunk.get<int32_t>(i), to); });
      break;
    case Storage::kDatetime:
      emit_quoted(writer, [&](char* to) { return write_datetime(chunk.get<int64_t>(i), false, to); });
      break;
    case Storage::kTimestamp:
      emit_quoted(writer, [&](char* to) { return write_datetime(chunk.get<int64_t>(i), true, to); });
      break;
    case Storage::kTime:
    case Storage::kText:
    case Storage::kEnum:
      if (chunk.escaped(i)) {
        writer->escaped(chunk.text(i));
      } else {
        writer->quoted(chunk.text(i));
      }
      break;
    case Storage::kUuid:
      writer->uuid(chunk.uuid(i));
      break;
    case Storage::kJson:
      writer->put(chunk.text(i));
      break;
    case Storage::kBinary:
      writer->base64(chunk.text(i));
      break;
  }
}

}  // namespace reflex
