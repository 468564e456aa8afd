// A page of a list that is not in the database.
#pragma once

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "gateway/ports/repository.h"
#include "gateway/types/error.h"

namespace carrel::gateway::http {

// The window of a list that is held in memory, in the order in which it was made.
template <typename T, typename IdOf>
absl::StatusOr<Page<T>> Window(std::vector<T> items, const PageRequest& page, IdOf id_of) {
  if (!page.ascending) std::reverse(items.begin(), items.end());
  auto find = [&](const std::string& id) {
    return std::find_if(items.begin(), items.end(), [&](const T& item) { return id_of(item) == id; });
  };
  auto begin = items.begin();
  auto end = items.end();
  if (!page.after.empty()) {
    begin = find(page.after);
    if (begin == items.end()) return MakeError(ErrorKind::kInvalidValue, "after", {page.after});
    ++begin;
  }
  if (!page.before.empty()) {
    end = find(page.before);
    if (end == items.end()) return MakeError(ErrorKind::kInvalidValue, "before", {page.before});
  }
  Page<T> window;
  window.has_more = end - begin > page.limit;
  if (window.has_more) {
    // The page before an object is the one next to it.
    const bool backwards = page.after.empty() && !page.before.empty();
    (backwards ? begin : end) = backwards ? end - page.limit : begin + page.limit;
  }
  if (begin < end) window.items.assign(begin, end);
  return window;
}

}  // namespace carrel::gateway::http
