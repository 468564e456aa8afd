// Which number and which user the next session gets.
#pragma once

#include <cstdint>

#include "namespaces.h"

namespace carrel::sandbox {

struct SessionIds {
  uint64_t session = 0;
  uint32_t uid = 0;  // and gid, as the outer user namespace numbers them
};

// Session numbers never come again, users do, after kSessionIds sessions: one that a living session still has is passed
// over. `taken(uid)` says whether one has it; fewer than kSessionIds may. Counts `next` on.
template <typename Taken>
[[nodiscard]] SessionIds NextSessionIds(uint64_t* next, const Taken& taken) {
  while (true) {
    const SessionIds ids{.session = *next, .uid = kSessionIdBase + static_cast<uint32_t>(*next % kSessionIds)};
    ++*next;
    if (!taken(ids.uid)) return ids;
  }
}

}  // namespace carrel::sandbox
