#include "specialised.h"

#include <algorithm>
#include <cstring>

#include "json_out.h"
#include "key.h"
#include "store.h"

namespace bench {
namespace {

using reflex::Cell;
using reflex::Column;
using reflex::Snapshot;
using reflex::Table;

// Tables are numbered by their place in the plan, which is alphabetical; columns as the blog declares them.
// What has to stand somewhere in generated code stands here.
enum TableNumber : uint32_t { kCategories, kComments, kPostTags, kPosts, kTags, kUsers };
enum { kUserId = 0, kUserName = 1, kUserEmail = 2, kUserPlan = 3 };
enum { kPostId = 0, kPostTitle = 3, kPostViews = 6 };
enum { kCommentId = 0, kCommentBody = 3, kCommentApproved = 4 };
enum { kCommentToPost = 0, kPostToAuthor = 0 };  // forward relations of their tables

// Writes into room that was made beforehand; grows the string where what comes may not fit.
class Out {
 public:
  explicit Out(std::string* out) : out_(out), start_(out->size()) { grow(1 << 12); }
  ~Out() { out_->resize(static_cast<size_t>(at_ - out_->data())); }
  Out(const Out&) = delete;
  Out& operator=(const Out&) = delete;

  template <size_t N>
  void word(const char (&text)[N]) {
    std::memcpy(at_, text, N - 1);
    at_ += N - 1;
  }
  void integer(const Column& column, uint32_t row) {
    const auto value = column.get<int64_t>(row);
    if (value < 0) *at_++ = '-';
    at_ = reflex::write_integer(value < 0 ? ~static_cast<uint64_t>(value) + 1 : static_cast<uint64_t>(value),
                                at_);
  }
  void boolean(const Column& column, uint32_t row) {
    if (column.get<uint8_t>(row) != 0) {
      word("true");
    } else {
      word("false");
    }
  }
  void text(const Column& column, uint32_t row) {
    const Cell cell = column.cell(row);
    const std::string_view value = cell.chunk.text(cell.i);
    need(6 * value.size() + 256);
    if (cell.chunk.escaped(cell.i)) [[unlikely]] {
      std::string escaped;
      reflex::append_json_string(&escaped, value);
      reflex::copy_piece(at_, escaped.data(), escaped.size());
      at_ += escaped.size();
      return;
    }
    *at_++ = '"';
    reflex::copy_piece(at_, value.data(), value.size());
    at_ += value.size();
    *at_++ = '"';
  }
  void text_or_null(const Column& column, uint32_t row) {
    if (column.has(row)) return text(column, row);
    word("null");
  }
  void need(size_t room) {
    if (static_cast<size_t>(end_ - at_) < room) [[unlikely]]
      grow(room);
  }
  // In the place of a comma behind the last of several.
  void close_list(bool any) {
    if (any) --at_;
    *at_++ = ']';
  }

 private:
  void grow(size_t room) {
    const size_t used = at_ == nullptr ? start_ : static_cast<size_t>(at_ - out_->data());
    out_->resize(std::max(2 * out_->size(), used + room));
    at_ = out_->data() + used;
    end_ = out_->data() + out_->size();
  }

  std::string* out_;
  size_t start_;
  char* at_ = nullptr;
  char* end_ = nullptr;
};

uint32_t user_of(const Table& users, int64_t id) {
  reflex::KeyPart part;
  part.integer = id;
  return users.primary_key.find(users.columns, users.key, {&part, 1});
}

// users(id = N) { id name email plan }
void point(const Snapshot& snapshot, int64_t id, std::string* out) {
  const Table& users = snapshot.table(kUsers);
  const uint32_t row = user_of(users, id);
  Out to(out);
  if (row == reflex::kNoRow) return to.word("[]");
  to.word("[{\"id\":");
  to.integer(users.columns[kUserId], row);
  to.word(",\"name\":");
  to.text(users.columns[kUserName], row);
  to.word(",\"email\":");
  to.text_or_null(users.columns[kUserEmail], row);
  to.word(",\"plan\":");
  to.text(users.columns[kUserPlan], row);
  to.word("}]");
}

void comments_of(const Snapshot& snapshot, uint32_t post, Out* to) {
  const Table& comments = snapshot.table(kComments);
  bool any = false;
  to->word(",\"comments\":[");
  for (const uint32_t row : snapshot.link(kComments, kCommentToPost).children(post)) {
    to->word("{\"id\":");
    to->integer(comments.columns[kCommentId], row);
    to->word(",\"body\":");
    to->text(comments.columns[kCommentBody], row);
    to->word(",\"approved\":");
    to->boolean(comments.columns[kCommentApproved], row);
    to->word("},");
    any = true;
  }
  to->close_list(any);
}

// users(id = N) { id name posts { id title comments { id body approved } } }
void nested(const Snapshot& snapshot, int64_t id, std::string* out) {
  const Table& users = snapshot.table(kUsers);
  const Table& posts = snapshot.table(kPosts);
  const uint32_t user = user_of(users, id);
  Out to(out);
  if (user == reflex::kNoRow) return to.word("[]");
  bool any = false;
  to.word("[{\"id\":");
  to.integer(users.columns[kUserId], user);
  to.word(",\"name\":");
  to.text(users.columns[kUserName], user);
  to.word(",\"posts\":[");
  for (const uint32_t post : snapshot.link(kPosts, kPostToAuthor).children(user)) {
    to.word("{\"id\":");
    to.integer(posts.columns[kPostId], post);
    to.word(",\"title\":");
    to.text(posts.columns[kPostTitle], post);
    comments_of(snapshot, post, &to);
    to.word("},");
    any = true;
  }
  to.close_list(any);
  to.word("}]");
}

// posts(views = N) { id title }
void filter(const Snapshot& snapshot, int64_t views, std::string* out) {
  const Table& posts = snapshot.table(kPosts);
  Out to(out);
  bool any = false;
  to.word("[");
  for (uint32_t first = 0; first < posts.rows; first += reflex::kChunkRows) {
    const reflex::Chunk& chunk = *posts.columns[kPostViews].chunks[first >> reflex::kChunkShift];
    const uint8_t* values = chunk.fixed.data();  // as loaded: a chunk that was changed has pages
    for (uint32_t i = 0; i < chunk.rows; ++i) {
      int64_t value = 0;
      std::memcpy(&value, values + i * sizeof value, sizeof value);
      if (value != views || !chunk.has(i)) continue;
      to.word("{\"id\":");
      to.integer(posts.columns[kPostId], first + i);
      to.word(",\"title\":");
      to.text(posts.columns[kPostTitle], first + i);
      to.word("},");
      any = true;
    }
  }
  to.close_list(any);
}

}  // namespace

Answer specialised(std::string_view name) {
  if (name == "point") return point;
  if (name == "nested") return nested;
  if (name == "filter") return filter;
  return nullptr;
}

}  // namespace bench
