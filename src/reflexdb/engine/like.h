// LIKE and ILIKE: `%` any run, `_` any one code point, `\` takes the next character as it is.
//
// A Like is compiled from its pattern once. Matching is linear but for patterns that mix `_` and text behind
// a `%`; there the steps are counted in `*work`, so that a caller can stop a hostile one.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace reflex {

class Like {
 public:
  Like() = default;
  // Requires: valid UTF-8. A trailing single backslash stands for itself.
  Like(std::string_view pattern, bool fold);

  // Requires: valid UTF-8. `scratch` is where text is folded. Gives up, false, once `*work` steps are used
  // up.
  bool matches(std::string_view text, std::string* scratch, uint64_t* work) const;

 private:
  static constexpr uint32_t kAnyOne = 0xFFFFFFFF;
  struct Segment {
    std::string literal;           // without `_`: the bytes to find
    std::vector<uint32_t> points;  // with `_`: code points and kAnyOne
    bool plain = true;
  };

  void add(Segment* segment, uint32_t point) const;
  bool at(const Segment& segment, std::string_view text, size_t from, size_t* end, uint64_t* work) const;
  bool find(const Segment& segment, std::string_view text, size_t* from, uint64_t* work) const;
  bool at_end(const Segment& segment, std::string_view text, size_t from, uint64_t* work) const;

  bool fold_ = false;
  bool open_start_ = false;  // begins with %
  bool open_end_ = false;
  std::vector<Segment> segments_;
};

}  // namespace reflex
