#include "arrow_body.h"

#include <bit>
#include <cassert>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <limits>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "aggregate.h"
#include "flat_buffer.h"

namespace reflex {

namespace {

static_assert(std::endian::native == std::endian::little, "the schema says so");

constexpr uint32_t kBatchRows = 16 << 10;
constexpr size_t kBatchBytes = 1 << 20;
constexpr int16_t kVersion = 4;  // of the metadata: V5

enum class Header : uint8_t { kSchema = 1, kBatch = 3 };
enum class Type : uint8_t {
  kInt = 2,
  kFloat = 3,
  kBinary = 4,
  kText = 5,
  kBool = 6,
  kDecimal = 7,
  kDate = 8,
  kTimestamp = 10,
  kFixedBinary = 15,
};

// One of the answer's columns: its type, and its values of the batch at work.
struct Vector {
  std::string name;
  Type type = Type::kText;
  uint32_t width = 0;  // in bytes; 0 where values vary in length, and for booleans, which are bits
  bool is_signed = true;
  bool instant = false;

  int64_t nulls = 0;
  std::string valid;    // bits
  std::string offsets;  // int32
  std::string data;

  bool varies() const { return type == Type::kText || type == Type::kBinary; }
  size_t bytes() const { return valid.size() + offsets.size() + data.size(); }
};

void set_type(Type type, uint32_t width, Vector* to) {
  to->type = type;
  to->width = width;
}

Vector vector_for(const FlatField& field) {
  using Function = ast::Aggregate::Function;
  Vector out;
  out.name = field.name;
  if (field.aggregate != nullptr) {
    const bool floats = field.storage == Storage::kF32 || field.storage == Storage::kF64;
    if (field.aggregate->function == Function::kCount) {
      set_type(Type::kInt, 8, &out);
    } else if (floats) {
      set_type(Type::kFloat, 8, &out);
    } else if (field.aggregate->function == Function::kSum && field.storage != Storage::kDecimal) {
      set_type(Type::kDecimal, 16, &out);
    }
    return out;  // exact averages and sums of decimals are text
  }
  out.width = fixed_width(field.storage);
  switch (field.storage) {
    case Storage::kBool:
      set_type(Type::kBool, 0, &out);
      break;
    case Storage::kU64:
      out.is_signed = false;
      [[fallthrough]];
    case Storage::kI16:
    case Storage::kI32:
    case Storage::kI64:
      out.type = Type::kInt;
      break;
    case Storage::kF32:
    case Storage::kF64:
      out.type = Type::kFloat;
      break;
    case Storage::kDate:
      out.type = Type::kDate;
      break;
    case Storage::kTimestamp:
      out.instant = true;
      [[fallthrough]];
    case Storage::kDatetime:
      out.type = Type::kTimestamp;
      break;
    case Storage::kUuid:
      out.type = Type::kFixedBinary;
      break;
    case Storage::kBinary:
      out.type = Type::kBinary;
      break;
    default:
      break;
  }
  return out;
}

FlatBuffer::Ref type_table(const Vector& of, FlatBuffer* to) {
  FlatBuffer::Ref zone = 0;
  if (of.instant) zone = to->text("UTC");
  to->begin();
  switch (of.type) {
    case Type::kInt:
      to->field(0, static_cast<int32_t>(of.width * 8));
      to->field(1, static_cast<uint8_t>(of.is_signed));
      break;
    case Type::kFloat:
      to->field(0, static_cast<int16_t>(of.width == 4 ? 1 : 2));
      break;
    case Type::kDecimal:
      to->field(0, int32_t{38});
      to->field(1, int32_t{0});
      break;
    case Type::kDate:
      to->field(0, int16_t{0});  // days
      break;
    case Type::kTimestamp:
      to->field(0, int16_t{2});  // microseconds
      if (of.instant) to->reference_field(1, zone);
      break;
    case Type::kFixedBinary:
      to->field(0, static_cast<int32_t>(of.width));
      break;
    default:
      break;
  }
  return to->end();
}

void append_message(Header header, FlatBuffer::Ref of, int64_t body_bytes, FlatBuffer* buffer,
                    std::string* out) {
  buffer->begin();
  buffer->field(3, body_bytes);
  buffer->reference_field(2, of);
  buffer->field(0, kVersion);
  buffer->field(1, static_cast<uint8_t>(header));
  const std::string metadata = buffer->finish(buffer->end());
  const uint32_t prefix[2] = {0xFFFFFFFF, static_cast<uint32_t>(metadata.size())};
  out->append(reinterpret_cast<const char*>(prefix), sizeof(prefix)).append(metadata);
}

void append_schema(const std::vector<Vector>& vectors, std::string* out) {
  FlatBuffer buffer;
  std::vector<FlatBuffer::Ref> fields;
  for (const Vector& vector : vectors) {
    const FlatBuffer::Ref name = buffer.text(vector.name);
    const FlatBuffer::Ref type = type_table(vector, &buffer);
    const FlatBuffer::Ref children = buffer.references({});
    buffer.begin();
    buffer.reference_field(0, name);
    buffer.reference_field(3, type);
    buffer.reference_field(5, children);
    buffer.field(1, uint8_t{1});  // nullable
    buffer.field(2, static_cast<uint8_t>(vector.type));
    fields.push_back(buffer.end());
  }
  const FlatBuffer::Ref all = buffer.references(fields);
  buffer.begin();
  buffer.reference_field(1, all);
  buffer.field(0, int16_t{0});  // little endian
  append_message(Header::kSchema, buffer.end(), 0, &buffer, out);
}

void append_bit(std::string* bits, uint32_t at, bool value) {
  if (at % 8 == 0) bits->push_back('\0');
  if (value) bits->back() = static_cast<char>(static_cast<uint8_t>(bits->back()) | (1u << (at % 8)));
}

void append_raw(std::string* to, const void* from, size_t size) {
  to->append(static_cast<const char*>(from), size);
}

void append_offset(Vector* to) {
  assert(to->data.size() <= INT32_MAX);
  const auto offset = static_cast<int32_t>(to->data.size());
  append_raw(&to->offsets, &offset, sizeof(offset));
}

void append_value(const FlatValue& value, Vector* to) {
  if (value.aggregate != nullptr) {
    const AggregateValue& from = *value.aggregate;
    if (to->type == Type::kFloat) {
      append_raw(&to->data, &from.number, sizeof(from.number));
    } else if (to->width != 0) {
      append_raw(&to->data, &from.integer, to->width);  // the low bytes; counts are below 2^32
    } else {
      to->data += exact_text(from);
    }
    return;
  }
  const Cell cell = value.column->cell(value.row);
  if (to->varies()) {
    to->data += cell.chunk.text(cell.i);
  } else {
    append_raw(&to->data, cell.chunk.fixed.data() + size_t{cell.i} * to->width, to->width);
  }
}

// Arrow has no infinite dates: readers fail on the numbers that stand for them here.
bool is_infinite(const Column& column, uint32_t row) {
  switch (column.storage) {
    case Storage::kDate: {
      const auto days = column.get<int32_t>(row);
      return days == std::numeric_limits<int32_t>::max() || days == std::numeric_limits<int32_t>::min();
    }
    case Storage::kDatetime:
    case Storage::kTimestamp: {
      const auto time = column.get<int64_t>(row);
      return time == std::numeric_limits<int64_t>::max() || time == std::numeric_limits<int64_t>::min();
    }
    default:
      return false;
  }
}

bool has_value(const FlatValue& value) {
  if (value.aggregate != nullptr) return true;
  return value.column != nullptr && value.column->has(value.row) && !is_infinite(*value.column, value.row);
}

class ArrowBody : public Body {
 public:
  explicit ArrowBody(std::unique_ptr<AnswerRows> rows) : rows_(std::move(rows)) {
    for (const FlatField& field : rows_->fields()) vectors_.push_back(vector_for(field));
    clear();
  }

  State next(std::string* out) override {
    using Clock = std::chrono::steady_clock;
    const auto end = Clock::now() + std::chrono::nanoseconds(kSliceNs);
    if (!std::exchange(begun_, true)) append_schema(vectors_, out);
    while (count_ < kBatchRows && bytes_ < kBatchBytes) {
      if (at_ < found_.size()) {
        add(found_[at_++]);
        continue;
      }
      at_ = 0;
      if (!rows_->next(&found_)) {
        if (!rows_->error().ok()) return State::kFailed;
        if (count_ != 0) append_batch(out);
        constexpr uint32_t kEnd[2] = {0xFFFFFFFF, 0};
        append_raw(out, kEnd, sizeof(kEnd));
        return State::kDone;
      }
      if (Clock::now() >= end) return State::kMore;
    }
    append_batch(out);
    return State::kMore;
  }

 private:
  void add(uint32_t row) {
    for (size_t i = 0; i < vectors_.size(); ++i) {
      Vector& vector = vectors_[i];
      const FlatValue value = rows_->value(row, i);
      const bool has = has_value(value);
      const size_t before = vector.data.size();
      append_bit(&vector.valid, count_, has);
      if (!has) ++vector.nulls;
      if (vector.type == Type::kBool) {
        append_bit(&vector.data, count_, has && value.column->get<uint8_t>(value.row) != 0);
      } else if (has) {
        append_value(value, &vector);
      } else {
        vector.data.append(vector.width, '\0');
      }
      if (vector.varies()) append_offset(&vector);
      bytes_ += vector.data.size() - before + 5;
    }
    ++count_;
  }

  void append_batch(std::string* out) {
    std::vector<std::pair<int64_t, int64_t>> nodes;
    std::vector<std::pair<int64_t, int64_t>> buffers;
    std::string body;
    const auto add_buffer = [&](const std::string& bytes) {
      buffers.emplace_back(body.size(), bytes.size());
      body += bytes;
      body.append((8 - body.size() % 8) % 8, '\0');
    };
    for (const Vector& vector : vectors_) {
      nodes.emplace_back(count_, vector.nulls);
      add_buffer(vector.valid);
      if (vector.varies()) add_buffer(vector.offsets);
      add_buffer(vector.data);
    }
    FlatBuffer buffer;
    const FlatBuffer::Ref node_list = buffer.pairs(nodes);
    const FlatBuffer::Ref buffer_list = buffer.pairs(buffers);
    buffer.begin();
    buffer.field(0, int64_t{count_});
    buffer.reference_field(1, node_list);
    buffer.reference_field(2, buffer_list);
    append_message(Header::kBatch, buffer.end(), static_cast<int64_t>(body.size()), &buffer, out);
    *out += body;
    clear();
  }

  void clear() {
    count_ = 0;
    bytes_ = 0;
    for (Vector& vector : vectors_) {
      vector.nulls = 0;
      vector.valid.clear();
      vector.offsets.clear();
      vector.data.clear();
      if (vector.varies()) append_offset(&vector);
    }
  }

  std::unique_ptr<AnswerRows> rows_;
  std::vector<Vector> vectors_;
  bool begun_ = false;
  uint32_t count_ = 0;  // rows in the batch at work
  size_t bytes_ = 0;    // about
  std::vector<uint32_t> found_;
  size_t at_ = 0;
};

}  // namespace

std::unique_ptr<Body> arrow_body(std::unique_ptr<AnswerRows> rows) {
  return std::make_unique<ArrowBody>(std::move(rows));
}

}  // namespace reflex
