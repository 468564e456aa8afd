#include "fewer_mappings.h"

#include <fcntl.h>
#include <link.h>
#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <span>
#include <vector>

#include "mappings.h"

namespace carrel::interpreter {
namespace {

constexpr uintptr_t kPageBytes = 4096;
constexpr uintptr_t kHugePageBytes = uintptr_t{2} << 20;
constexpr int kCollapse = 25;  // MADV_COLLAPSE, Linux 6.1

struct Range {
  uintptr_t start = 0;
  uintptr_t end = 0;
};

// The loader maps whole pages.
Range PagesOf(const dl_phdr_info& object, const ElfW(Phdr) & header) {
  const uintptr_t from = object.dlpi_addr + header.p_vaddr;
  const uintptr_t to = from + header.p_memsz + kPageBytes - 1;
  return {from / kPageBytes * kPageBytes, to / kPageBytes * kPageBytes};
}

// What lies beside each other is one mapping when it has the same rights. Where that fails, a mapping more is copied.
void JoinCode(const dl_phdr_info& object) {
  Range joined;
  int segments = 0;
  bool executable = false;
  const auto join = [&] {
    if (segments > 1 && executable) {
      (void)::mprotect(reinterpret_cast<void*>(joined.start), joined.end - joined.start, PROT_READ | PROT_EXEC);
    }
    segments = 0;
    executable = false;
  };
  for (const ElfW(Phdr) & header : std::span(object.dlpi_phdr, object.dlpi_phnum)) {
    if (header.p_type != PT_LOAD || (header.p_flags & PF_W) != 0) continue;
    const Range pages = PagesOf(object, header);
    if (pages.start != joined.end) join();
    if (segments++ == 0) joined.start = pages.start;
    joined.end = pages.end;
    executable |= (header.p_flags & PF_X) != 0;
  }
  join();
}

// The data of all libraries, one after the other in a file.
class DataFile final {
 public:
  DataFile() : fd_(::memfd_create("library-data", MFD_CLOEXEC | MFD_ALLOW_SEALING)) {}
  DataFile(const DataFile&) = delete;
  DataFile& operator=(const DataFile&) = delete;
  ~DataFile() {
    if (fd_ >= 0) ::close(fd_);
  }

  void Take(const dl_phdr_info& object) {
    for (const ElfW(Phdr) & header : std::span(object.dlpi_phdr, object.dlpi_phnum)) {
      if (header.p_type != PT_LOAD || (header.p_flags & (PF_W | PF_X)) != PF_W) continue;
      const Range pages = PagesOf(object, header);
      if (fd_ >= 0) Replace(pages);
    }
  }

  void Seal() const { (void)::fcntl(fd_, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE); }

 private:
  void Replace(const Range& pages) {
    const size_t bytes = pages.end - pages.start;
    auto* const place = reinterpret_cast<void*>(pages.start);
    for (size_t written = 0; written < bytes;) {
      const ssize_t got = ::pwrite(fd_, static_cast<const char*>(place) + written, bytes - written,
                                   static_cast<off_t>(bytes_ + written));
      if (got <= 0) return;  // this one stays as it is
      written += static_cast<size_t>(got);
    }
    // From the copy to here nobody may have written to it: of what is called, nothing keeps a state in a library's
    // data.
    if (::mmap(place, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED, fd_, static_cast<off_t>(bytes_)) ==
        MAP_FAILED) {
      ::abort();  // whether the old one is still there, nobody knows
    }
    bytes_ += bytes;
  }

  int fd_;
  size_t bytes_ = 0;
};

int Join(dl_phdr_info* object, size_t /*size*/, void* data) {
  JoinCode(*object);
  static_cast<DataFile*>(data)->Take(*object);
  return 0;
}

// An administrator who wants no huge pages gets none.
bool HugePagesAreOff() {
  std::FILE* file = std::fopen("/sys/kernel/mm/transparent_hugepage/enabled", "re");
  if (file == nullptr) return true;
  std::array<char, 64> text{};
  const bool off =
      std::fgets(text.data(), text.size(), file) == nullptr || std::strstr(text.data(), "[never]") != nullptr;
  std::fclose(file);
  return off;
}

}  // namespace

void JoinLibraryMappings() {
  DataFile data;
  ::dl_iterate_phdr(Join, &data);
  data.Seal();
}

void CollapseHeap() {
  if (HugePagesAreOff()) return;
  uintptr_t heap_start = 0;
  uintptr_t heap_end = 0;
  for (const Mapping& mapping : ReadMappings().value_or(std::vector<Mapping>())) {
    if (!mapping.heap) continue;
    if (heap_start == 0) heap_start = mapping.start;
    heap_end = mapping.end;
  }
  // Malloc has asked for huge pages in most of it; what it has not would stay a mapping of its own.
  (void)::madvise(reinterpret_cast<void*>(heap_start), heap_end - heap_start, MADV_HUGEPAGE);
  heap_start = (heap_start + kHugePageBytes - 1) / kHugePageBytes * kHugePageBytes;
  heap_end = heap_end / kHugePageBytes * kHugePageBytes;
  if (heap_start < heap_end) {
    (void)::madvise(reinterpret_cast<void*>(heap_start), heap_end - heap_start, kCollapse);
  }
}

}  // namespace carrel::interpreter
