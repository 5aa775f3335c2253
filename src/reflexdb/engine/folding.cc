#include "folding.h"

#include <algorithm>

#include "utf8.h"

namespace reflex {

namespace {

constexpr uint32_t kEnd = 0xFFFFFFFF;

// Hangul syllables are counted by their parts (The Unicode Standard, 3.12).
constexpr uint32_t kSyllables = 0xAC00;
constexpr uint32_t kSyllableCount = 11172;
constexpr uint32_t kLeading = 0x1100;
constexpr uint32_t kVowels = 0x1161;
constexpr uint32_t kTrailing = 0x11A7;
constexpr uint32_t kVowelCount = 21;
constexpr uint32_t kTrailingCount = 28;

const FoldDef* find(const FoldingDef& folding, uint32_t code_point) {
  const auto after = std::upper_bound(folding.folds.begin(), folding.folds.end(), code_point,
                                      [](uint32_t value, const FoldDef& fold) { return value < fold.first; });
  if (after == folding.folds.begin()) return nullptr;
  const FoldDef& fold = *(after - 1);
  return code_point <= fold.last ? &fold : nullptr;
}

// Requires: `fold`, which has the character, is not kMany.
uint32_t element(const FoldDef& fold, uint32_t code_point) {
  return fold.kind == FoldDef::Kind::kShifted ? fold.to + (code_point - fold.first) : fold.to;
}

// Does the character at the end of a text count for nothing there?
bool is_blank(const FoldingDef& folding, uint32_t code_point) {
  const FoldDef* fold = find(folding, code_point);
  if (fold == nullptr) return code_point == folding.blank;
  if (fold->kind != FoldDef::Kind::kMany) return element(*fold, code_point) == folding.blank;
  return std::ranges::all_of(folding.elements.subspan(fold->to, fold->count),
                             [&](uint32_t each) { return each == folding.blank; });
}

std::string_view trimmed(const FoldingDef& folding, std::string_view text) {
  while (!text.empty()) {
    size_t start = text.size() - 1;
    while (start > 0 && utf8_is_continuation(text[start])) --start;
    size_t at = start;
    if (!is_blank(folding, utf8_next(text, &at))) break;
    text = text.substr(0, start);
  }
  return text;
}

// The elements of a text, one after the other.
class Elements {
 public:
  Elements(const FoldingDef& folding, std::string_view text)
      : folding_(folding), text_(folding.pads ? trimmed(folding, text) : text) {}

  uint32_t next() {
    while (true) {
      if (waiting_ != 0) {
        --waiting_;
        return *many_++;
      }
      if (at_ == text_.size()) return kEnd;
      const auto byte = static_cast<uint8_t>(text_[at_]);
      if (byte < folding_.ascii.size() && folding_.ascii[byte] != kEnd) [[likely]] {
        ++at_;
        return folding_.ascii[byte];
      }
      const uint32_t code_point = utf8_next(text_, &at_);
      if (folding_.hangul && code_point - kSyllables < kSyllableCount) {
        split(code_point - kSyllables);
        continue;
      }
      const FoldDef* fold = find(folding_, code_point);
      if (fold == nullptr) return code_point;
      if (fold->kind != FoldDef::Kind::kMany) return element(*fold, code_point);
      many_ = folding_.elements.data() + fold->to;
      waiting_ = fold->count;
    }
  }

 private:
  uint32_t part(uint32_t code_point) const {
    const FoldDef* fold = find(folding_, code_point);
    return fold == nullptr ? code_point : element(*fold, code_point);
  }

  void split(uint32_t syllable) {
    const uint32_t trailing = syllable % kTrailingCount;
    syllable_[0] = part(kLeading + syllable / (kVowelCount * kTrailingCount));
    syllable_[1] = part(kVowels + syllable / kTrailingCount % kVowelCount);
    if (trailing != 0) syllable_[2] = part(kTrailing + trailing);
    many_ = syllable_;
    waiting_ = trailing != 0 ? 3 : 2;
  }

  const FoldingDef& folding_;
  std::string_view text_;
  size_t at_ = 0;
  const uint32_t* many_ = nullptr;
  uint32_t waiting_ = 0;
  uint32_t syllable_[3] = {};
};

}  // namespace

uint64_t hash_folded(const FoldingDef& folding, std::string_view text) {
  Elements elements(folding, text);
  uint64_t hash = 0xCBF29CE484222325ULL;
  for (uint32_t element = elements.next(); element != kEnd; element = elements.next())
    hash = (hash ^ element) * 0x9E3779B97F4A7C15ULL + (hash >> 29);
  return hash;
}

bool equal_folded(const FoldingDef& folding, std::string_view a, std::string_view b) {
  if (a == b) return true;
  Elements left(folding, a);
  Elements right(folding, b);
  while (true) {
    const uint32_t element = left.next();
    if (element != right.next()) return false;
    if (element == kEnd) return true;
  }
}

std::string folded(const FoldingDef& folding, std::string_view text) {
  Elements elements(folding, text);
  std::string bytes;
  for (uint32_t element = elements.next(); element != kEnd; element = elements.next())
    bytes.append(reinterpret_cast<const char*>(&element), sizeof element);
  return bytes;
}

}  // namespace reflex
