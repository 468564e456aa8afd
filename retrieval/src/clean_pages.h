// Pages of a database without remains. PRAGMA secure_delete overwrites what is deleted where it stands, but when SQLite
// moves rows between pages it leaves what stood at their old places, in the part of a page that is in no use (seen in
// 3.40: the words of deleted documents in one of a dozen databases). This is SQLite's own access to files, except that
// the unused part of a b-tree's pages is written as zeros (https://www.sqlite.org/fileformat2.html, 1.6).
#pragma once

#include <string>

namespace carrel::retrieval {

// The name for sqlite3_open_v2; registered at the first call. Thread-safe.
[[nodiscard]] const std::string& CleanPagesVfs();

}  // namespace carrel::retrieval
