#include "text_bodies.h"

#include <chrono>
#include <cmath>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "aggregate.h"
#include "emit.h"

namespace reflex {

namespace {

// What both have in common: rows are taken until a piece is long enough, or took long enough.
class RowsBody : public Body {
 public:
  explicit RowsBody(std::unique_ptr<AnswerRows> rows) : rows_(std::move(rows)) {}

  State next(std::string* out) override {
    using Clock = std::chrono::steady_clock;
    const auto end = Clock::now() + std::chrono::nanoseconds(kSliceNs);
    writer_.start(out);
    const State state = fill(end);
    writer_.finish();
    return state;
  }

 protected:
  virtual bool row(uint32_t row) = 0;
  virtual void head() {}

  std::unique_ptr<AnswerRows> rows_;
  Writer writer_;

 private:
  State fill(std::chrono::steady_clock::time_point end) {
    if (!std::exchange(begun_, true)) head();
    while (writer_.written() < kPieceBytes) {
      if (at_ == batch_.size()) {
        at_ = 0;
        if (!rows_->next(&batch_)) return rows_->error().ok() ? State::kDone : State::kFailed;
        if (std::chrono::steady_clock::now() >= end) return State::kMore;
        continue;
      }
      if (!row(batch_[at_++])) return State::kFailed;
    }
    return State::kMore;
  }

  bool begun_ = false;
  std::vector<uint32_t> batch_;
  size_t at_ = 0;
};

class NdjsonBody : public RowsBody {
 public:
  using RowsBody::RowsBody;

 private:
  bool row(uint32_t row) override {
    if (!rows_->json(row, &writer_)) return false;
    writer_.put('\n');
    return true;
  }
};

class CsvBody : public RowsBody {
 public:
  explicit CsvBody(std::unique_ptr<AnswerRows> rows) : RowsBody(std::move(rows)), fields_(rows_->fields()) {}

 private:
  void head() override {
    for (size_t i = 0; i < fields_.size(); ++i) {
      if (i != 0) writer_.put(',');
      text(fields_[i].name);
    }
    writer_.put("\r\n");
  }

  bool row(uint32_t row) override {
    const size_t before = writer_.written();
    for (size_t i = 0; i < fields_.size(); ++i) {
      if (i != 0) writer_.put(',');
      field(rows_->value(row, i));
    }
    // Readers skip an empty line, and with it the row.
    if (writer_.written() == before) writer_.put("\"\"");
    writer_.put("\r\n");
    return true;
  }

  void field(const FlatValue& value) {
    if (value.aggregate != nullptr) {
      const bool finite = value.aggregate->kind != AggregateValue::Kind::kFloat
                              ? !value.aggregate->decimal.ends_with('y')
                              : std::isfinite(value.aggregate->number);
      if (finite) emit_number(*value.aggregate, &writer_);
      return;
    }
    if (value.column == nullptr || !value.column->has(value.row)) return;
    const Column& column = *value.column;
    switch (column.storage) {
      case Storage::kText:
      case Storage::kEnum:
      case Storage::kTime:
      case Storage::kInterval:
      case Storage::kJson:
        return text(column.text(value.row));
      case Storage::kF32:
        if (std::isfinite(column.get<float>(value.row))) emit_value(column, value.row, &writer_);
        return;
      case Storage::kF64:
        if (std::isfinite(column.get<double>(value.row))) emit_value(column, value.row, &writer_);
        return;
      case Storage::kDecimal: {
        const std::string_view digits = column.text(value.row);
        if (!digits.ends_with('N') && !digits.ends_with('y')) emit_value(column, value.row, &writer_);
        return;
      }
      default:  // as in JSON; its quotes, where there are any, are CSV's too
        return emit_value(column, value.row, &writer_);
    }
  }

  void text(std::string_view text) {
    if (!text.empty() && text.find_first_of(",\"\r\n") == std::string_view::npos) return writer_.put(text);
    writer_.put('"');
    for (size_t from = 0;;) {
      const size_t quote = text.find('"', from);
      writer_.put(text.substr(from, quote - from));
      if (quote == std::string_view::npos) break;
      writer_.put("\"\"");
      from = quote + 1;
    }
    writer_.put('"');
  }

  std::vector<FlatField> fields_;
};

}  // namespace

std::unique_ptr<Body> ndjson_body(std::unique_ptr<AnswerRows> rows) {
  return std::make_unique<NdjsonBody>(std::move(rows));
}

std::unique_ptr<Body> csv_body(std::unique_ptr<AnswerRows> rows) {
  return std::make_unique<CsvBody>(std::move(rows));
}

}  // namespace reflex
