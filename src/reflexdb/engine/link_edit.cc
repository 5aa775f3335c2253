#include "link_edit.h"

#include <cassert>
#include <memory>
#include <string>

namespace reflex {

// The parent's list as it is now, to be written.
RowList& LinkEdit::children_of(uint32_t parent) {
  link_.changed.grow(parent_.rows);
  std::shared_ptr<const RowList>& entry = link_.changed.at(parent, &edit_);
  if (entry != nullptr && entry->edit == edit_.id) return const_cast<RowList&>(*entry);
  auto own = entry != nullptr ? std::make_shared<RowList>(*entry) : std::make_shared<RowList>();
  own->edit = edit_.id;
  if (entry == nullptr) {
    ++link_.changes;
    edit_.replaced(0, sizeof(RowList));
    for (const uint32_t row : link_.loaded_children(parent)) own->append(row, &edit_);
  }
  entry = own;
  return *own;
}

void LinkEdit::add_child(uint32_t parent, uint32_t row) {
  link_.to.at(row, &edit_) = parent;
  children_of(parent).insert(row, [this](uint32_t a, uint32_t b) { return child_.before(a, b); }, &edit_);
}

void LinkEdit::attach(uint32_t row) {
  link_.to.grow(child_.rows);
  assert(link_.to.get(row) == kNoRow);
  bool whole = false;
  const uint32_t parent = link_.find_parent(child_, row, parent_, &whole);
  if (parent != kNoRow) {
    add_child(parent, row);
  } else if (whole) {
    link_.orphans.insert(child_.columns, link_.child_key, row, &edit_);
  }
}

void LinkEdit::detach(uint32_t row) {
  const uint32_t parent = link_.to.get(row);
  if (parent != kNoRow) {
    link_.to.at(row, &edit_) = kNoRow;
    children_of(parent).erase(row, [this](uint32_t a, uint32_t b) { return child_.before(a, b); }, &edit_);
    return;
  }
  std::vector<KeyPart> parts(link_.child_key.size());
  if (read_key(child_.columns, link_.child_key, row, parts))
    link_.orphans.erase(child_.columns, link_.child_key, row, &edit_);
}

bool LinkEdit::child_parts(uint32_t parent, std::vector<KeyPart>* parts,
                           std::vector<std::string>* texts) const {
  parts->resize(link_.parent_key.size());
  texts->resize(parts->size());
  if (!read_key(parent_.columns, link_.parent_key, parent, *parts)) return false;
  for (size_t i = 0; i < parts->size(); ++i) {
    if (!convert_key(&(*parts)[i], child_.columns[link_.child_key[i]].storage, &(*texts)[i])) return false;
  }
  return true;
}

void LinkEdit::add_parent(uint32_t row) {
  if (!link_.by_primary_key) {
    std::vector<KeyPart> own(link_.parent_key.size());
    if (!read_key(parent_.columns, link_.parent_key, row, own)) return;
    take_over(row);
    link_.targets.insert(parent_.columns, link_.parent_key, row, &edit_);
  }
  if (link_.orphans.size() == 0) return;
  std::vector<KeyPart> parts;
  std::vector<std::string> texts;
  if (!child_parts(row, &parts, &texts)) return;
  std::vector<uint32_t> waiting;
  for (uint32_t child = link_.orphans.first(child_.columns, link_.child_key, parts); child != kNoRow;
       child = link_.orphans.next(child)) {
    waiting.push_back(child);
  }
  for (const uint32_t child : waiting) {
    link_.orphans.erase(child_.columns, link_.child_key, child, &edit_);
    attach(child);
  }
}

// Where a key is not unique among parents, the first of them has the children.
void LinkEdit::take_over(uint32_t row) {
  std::vector<KeyPart> own(link_.parent_key.size());
  read_key(parent_.columns, link_.parent_key, row, own);
  std::vector<uint32_t> taken;
  for (uint32_t other = link_.targets.first(parent_.columns, link_.parent_key, own); other != kNoRow;
       other = link_.targets.next(other)) {
    if (!parent_.before(row, other)) continue;
    for (const uint32_t child : link_.children(other)) taken.push_back(child);
  }
  for (const uint32_t child : taken) {
    detach(child);
    add_child(row, child);
  }
}

std::vector<uint32_t> LinkEdit::remove_parent(uint32_t row) {
  std::vector<uint32_t> children;
  const RowRange present = link_.children(row);
  children.reserve(present.size());
  for (const uint32_t child : present) children.push_back(child);
  for (const uint32_t child : children) link_.to.at(child, &edit_) = kNoRow;
  if (!children.empty()) {
    link_.changed.grow(parent_.rows);
    std::shared_ptr<const RowList>& entry = link_.changed.at(row, &edit_);
    if (entry == nullptr) ++link_.changes;
    edit_.replaced(entry != nullptr ? entry->memory() : 0, sizeof(RowList));
    auto empty = std::make_shared<RowList>();
    empty->edit = edit_.id;
    entry = std::move(empty);
  }
  std::vector<KeyPart> own(link_.parent_key.size());
  if (!link_.by_primary_key && read_key(parent_.columns, link_.parent_key, row, own))
    link_.targets.erase(parent_.columns, link_.parent_key, row, &edit_);
  return children;
}

void LinkEdit::tidy() {
  constexpr uint32_t kFew = 1024;
  if (link_.changes < kFew + parent_.rows / 4) return;
  link_.to.grow(child_.rows);
  const uint64_t before = memory_of(link_);
  gather_children(&link_, child_, parent_.rows);
  edit_.replaced(before, memory_of(link_));
}

}  // namespace reflex
