// The keys that the fields of a selection have in its answer.
//
// A field's key is its alias, or the name by which it was asked for. A relation that was asked for by the
// name of a column that is answered too has another of its names as its key, so that it never hides the
// column.
#pragma once

#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "ast.h"
#include "query_error.h"
#include "schema.h"

namespace reflex {

class FieldKeys {
 public:
  // Requires: the table is the selection's. Keeps references to the selection.
  FieldKeys(const SchemaDef& schema, uint32_t table, const ast::Selection& query);

  // Whether there is one wildcard at most, and no key twice.
  QueryError check() const;

  const std::string& of(size_t field) const { return keys_[field]; }

  // Whether a field that is asked for by name stands for what a wildcard would give under this key.
  bool replaces(std::string_view key) const { return asked_.contains(key); }

  // Whether a relation with one of these names is asked for, without an alias.
  template <typename Relation>
  bool asks_for(const Relation& relation) const {
    if (relations_.contains(relation.name)) return true;
    for (const std::string_view name : relation.also) {
      if (relations_.contains(name)) return true;
    }
    return false;
  }

 private:
  const ast::Selection& query_;
  std::vector<std::string> keys_;  // one for each field; a wildcard has none
  std::unordered_set<std::string_view> asked_;
  std::unordered_set<std::string_view> relations_;
};

}  // namespace reflex
