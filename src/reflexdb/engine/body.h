// The body of an answer that is made piece by piece, while its client takes it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace reflex {

class Body {
 public:
  static constexpr size_t kPieceBytes = 64 << 10;  // about; one row's text is never cut
  static constexpr int64_t kSliceNs = 1'000'000;   // after which a piece is handed out as it is

  enum class State : uint8_t {
    kMore,
    kDone,
    kFailed,  // what was handed out is not the whole answer
  };

  Body() = default;
  virtual ~Body() = default;
  Body(const Body&) = delete;
  Body& operator=(const Body&) = delete;

  // Appends the next piece, which is empty where there was only work to do. Not to be called again after
  // kDone or kFailed.
  virtual State next(std::string* out) = 0;
};

}  // namespace reflex
