// <store>.vectors: the sub-passages and vectors of a large store as its index keeps them, so that loading it reads
// megabytes in one go and not rows from the records (a hundred thousand rows take seconds).
//
// A cache, never trusted, that grows with the store: a header and segments, each written once, after those before it.
//   header    magic, dimensions, bytes of a code
//   segment   magic, number of contents and positions, checksum of these and the table
//             table: for each content its row, number of positions, and a checksum of what follows of it
//             places of all positions; codes (VectorIndex) of all positions
// A segment that is not whole, or whose table does not hold, ends the file. A content whose checksum does not hold is
// left out, and loaded from the records. What is deleted is overwritten with zeros at once (Forget).
//
// Thread-safety: one thread appends to a file; Load and Forget may run meanwhile.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "store_index.h"

namespace carrel::retrieval {

// Puts what the file holds of `wanted` into an empty index, the rest as places with nothing in them, and notes in the
// index how far the file goes. A file that is missing, damaged or of other dimensions gives nothing.
void LoadVectorFile(const std::string& path, uint32_t dimensions, const absl::flat_hash_set<int64_t>& wanted,
                    StoreIndex& index);

// Appends what the index has beyond the file, in segments; locks the index while it copies one. Makes the file if there
// is none of this index. Slots [first, last) have been written on success, and the index's notes say so.
[[nodiscard]] absl::Status AppendVectorFile(const std::string& path, StoreIndex& index);

// Overwrites the contents for which `gone` says so. No file: nothing to do.
[[nodiscard]] absl::Status ForgetInVectorFile(const std::string& path,
                                              const std::function<bool(int64_t content)>& gone);

}  // namespace carrel::retrieval
