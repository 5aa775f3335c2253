// Changing the links along one relation, row by row, as children and parents come, go and change their keys.
//
// Works in place on a Link that nobody else sees yet, beside the tables at its ends. Belongs to one thread.
#pragma once

#include <cstdint>
#include <vector>

#include "store.h"

namespace reflex {

class LinkEdit {
 public:
  LinkEdit(Link* link, const Table& child, const Table& parent, Edit* edit)
      : link_(*link), child_(child), parent_(parent), edit_(*edit) {}

  // Links a child to its parent, or remembers that it has none. Requires: it is linked to none.
  void attach(uint32_t row);
  // Requires: the child's key and place in its table's order are what they were when it was attached.
  void detach(uint32_t row);

  // Takes a parent in, with the children that were waiting for it. Requires: its index has it, where the
  // relation is to the primary key.
  void add_parent(uint32_t row);
  // Answers the children that it had, linked to none: they are to be attached again once the parent is gone.
  // Requires: its key is what it was when it was added.
  std::vector<uint32_t> remove_parent(uint32_t row);

  // Puts scattered lists of children together again once there are many.
  void tidy();

 private:
  RowList& children_of(uint32_t parent);
  void add_child(uint32_t parent, uint32_t row);
  // The parent's key as the children write it. False where no child can have it.
  bool child_parts(uint32_t parent, std::vector<KeyPart>* parts, std::vector<std::string>* texts) const;
  void take_over(uint32_t row);

  Link& link_;
  const Table& child_;
  const Table& parent_;
  Edit& edit_;
};

}  // namespace reflex
