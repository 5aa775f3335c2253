// What the engine knows of the schema it serves: constant tables that the build generates (doc/header.md).
// Everything is static and immutable; any thread may read it at any time.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>

namespace reflex {

// How a column's values are kept; the numbers are those of the feed (doc/feed.md).
enum class Storage : uint8_t {
  kBool = 1,
  kI16 = 2,
  kI32 = 3,
  kI64 = 4,
  kU64 = 5,
  kF32 = 6,
  kF64 = 7,
  kDecimal = 8,
  kDate = 9,
  kDatetime = 10,
  kTimestamp = 11,
  kTime = 12,
  kText = 13,
  kEnum = 14,
  kUuid = 15,
  kJson = 16,
  kBinary = 17,
  kInterval = 18,  // in the feed as kText
};

// Characters that fold to others. Those of a collation are in the order of their code points and apart.
struct FoldDef {
  enum class Kind : uint8_t {
    kSame,     // each to the element `to`
    kShifted,  // to the elements from `to` on
    kMany,     // to `count` of `elements`, from index `to` on
  };
  uint32_t first;
  uint32_t last;
  uint32_t to;
  uint16_t count;
  Kind kind;
};

// A collation of the source as far as equality goes (folding.h). A character that is not among `folds` is an
// element by itself, with its code point; elements beyond the code points stand for what no single character
// is equal to.
struct FoldingDef {
  std::string_view name;  // the source's
  std::span<const FoldDef> folds;
  std::span<const uint32_t> elements;
  std::span<const uint32_t> ascii;  // by ASCII character: its one element; 0xFFFFFFFF: look among `folds`
  bool pads;                        // the element `blank` counts for nothing at the end of a text
  uint32_t blank;
  bool hangul;  // a syllable is equal to its parts
};

struct ColumnDef {
  std::string_view name;      // in the query API
  std::string_view declared;  // the source's words for the type, for messages
  std::string_view note;      // for /openapi.json
  Storage storage;
  bool nullable;
  bool visible;
  bool in_star;               // given by `*`; the source leaves it out of SELECT * where not
  const FoldingDef* folding;  // by which keys of it compare; null: by their bytes
};

// The key is on this table; answers an object or null.
struct ForwardDef {
  std::string_view name;
  std::span<const uint16_t> columns;
  uint32_t target;
  std::span<const uint16_t> target_columns;
  bool visible;
  std::span<const std::string_view> also;  // other names that queries may use
};

// The key `forward` is on table `child`; answers an array.
struct ReverseDef {
  std::string_view name;
  uint32_t child;
  uint16_t forward;
  std::span<const std::string_view> also;
};

struct TableDef {
  std::string_view name;
  std::span<const ColumnDef> columns;
  std::span<const uint16_t> primary_key;  // empty: none
  std::span<const ForwardDef> forward;
  std::span<const ReverseDef> reverse;
};

// What the source has and this image does not serve, for /openapi.json.
struct NotServedDef {
  std::string_view table;     // in the source
  std::string_view column;    // empty: not about a column
  std::string_view relation;  // empty: not about a relation
  std::string_view cause;     // for programs
  std::string_view reason;
  std::string_view remedy;
};

struct SchemaDef {
  std::string_view name;
  std::array<uint8_t, 32> fingerprint;
  std::span<const TableDef> tables;
  std::span<const NotServedDef> not_served;
};

// Defined by the generated unit.
const SchemaDef& schema();

}  // namespace reflex
