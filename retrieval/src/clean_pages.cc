#include "clean_pages.h"

#include <sqlite3.h>

#include <algorithm>
#include <bit>
#include <cstdint>
#include <cstring>
#include <mutex>
#include <vector>

namespace carrel::retrieval {
namespace {

constexpr int kPageMin = 512, kPageMax = 65'536;
constexpr int64_t kFileHeader = 100;             // page 1 begins with it
constexpr int64_t kLockByte = int64_t{1} << 30;  // no page of a tree is there
// From here on the number of a page, with which pages of other kinds begin, may look like the kind of a tree's page.
constexpr int64_t kOffsetMax = int64_t{1} << 36;

// With auto_vacuum some pages hold what each page is used for, and may look like a tree's. Without it, one page of many
// stays as it is.
bool IsPointerMap(int64_t page, int64_t page_bytes) {
  const int64_t each = page_bytes / 5 + 1;
  int64_t map = (page - 2) / each * each + 2;
  if (map == kLockByte / page_bytes + 1) ++map;
  return page >= 2 && page == map;
}

uint32_t BigEndian16(const uint8_t* bytes) { return uint32_t{bytes[0]} << 8 | bytes[1]; }

// The unused part of a page, if it is a tree's: [begin, end).
struct Unused {
  size_t begin = 0;
  size_t end = 0;
};
Unused UnusedPart(const uint8_t* page, size_t bytes, int64_t offset) {
  const int64_t number = offset / static_cast<int64_t>(bytes) + 1;
  if (offset >= kOffsetMax || IsPointerMap(number, static_cast<int64_t>(bytes))) return {};
  const size_t header = number == 1 ? kFileHeader : 0;
  const uint8_t kind = page[header];
  if (kind != 2 && kind != 5 && kind != 10 && kind != 13) return {};
  const size_t cells = BigEndian16(page + header + 3);
  const size_t content = BigEndian16(page + header + 5);
  const Unused out{.begin = header + (kind < 8 ? 12 : 8) + 2 * cells, .end = content == 0 ? 65'536 : content};
  return out.begin < out.end && out.end <= bytes ? out : Unused{};
}

struct Vfs {
  std::string name = "carrel-clean-pages";
  sqlite3_vfs* system = nullptr;
  sqlite3_vfs ours{};
  std::mutex mutex;
  const sqlite3_io_methods* of_system = nullptr;
  sqlite3_io_methods methods{};  // the system's, but for writing
};

Vfs& TheVfs() {
  static Vfs* const kVfs = new Vfs;  // as long as the process, like SQLite's list
  return *kVfs;
}

int Write(sqlite3_file* file, const void* data, int bytes, sqlite3_int64 offset) {
  const auto write = TheVfs().of_system->xWrite;
  const auto size = static_cast<size_t>(std::max(bytes, 0));
  if (bytes < kPageMin || bytes > kPageMax || !std::has_single_bit(size) || offset % bytes != 0) {
    return write(file, data, bytes, offset);
  }
  const auto* const page = static_cast<const uint8_t*>(data);
  const Unused unused = UnusedPart(page, size, offset);
  if (std::all_of(page + unused.begin, page + unused.end, [](uint8_t byte) { return byte == 0; })) {
    return write(file, data, bytes, offset);
  }
  std::vector<uint8_t> clean(page, page + size);
  std::memset(clean.data() + unused.begin, 0, unused.end - unused.begin);
  return write(file, clean.data(), bytes, offset);
}

int Open(sqlite3_vfs*, sqlite3_filename name, sqlite3_file* file, int flags, int* out_flags) {
  Vfs& vfs = TheVfs();
  const int code = vfs.system->xOpen(vfs.system, name, file, flags, out_flags);
  if (code != SQLITE_OK || (flags & SQLITE_OPEN_MAIN_DB) == 0 || file->pMethods == nullptr) return code;
  const std::lock_guard lock(vfs.mutex);
  if (vfs.of_system == nullptr) {
    vfs.of_system = file->pMethods;
    vfs.methods = *file->pMethods;
    vfs.methods.xWrite = &Write;
  }
  // One kind of file system locks otherwise and has methods of its own: better remains than a wrong lock.
  if (file->pMethods == vfs.of_system) file->pMethods = &vfs.methods;
  return code;
}

}  // namespace

const std::string& CleanPagesVfs() {
  static const std::string& kName = []() -> const std::string& {
    Vfs& vfs = TheVfs();
    vfs.system = sqlite3_vfs_find(nullptr);
    vfs.ours = *vfs.system;
    vfs.ours.zName = vfs.name.c_str();
    vfs.ours.xOpen = &Open;
    vfs.ours.pNext = nullptr;
    sqlite3_vfs_register(&vfs.ours, 0);
    return vfs.name;
  }();
  return kName;
}

}  // namespace carrel::retrieval
