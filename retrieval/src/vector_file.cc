#include "vector_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <mutex>
#include <shared_mutex>
#include <span>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "retrieval/index_cache.h"
#include "sandbox/base/unique_fd.h"
#include "status_macros.h"

namespace carrel::retrieval {
namespace {

constexpr uint64_t kFileMagic = 0x3176'6c65'7272'6163;     // "carrelv1": the last is the version
constexpr uint64_t kSegmentMagic = 0x3174'6e65'6d67'6573;  // "segment1"
constexpr uint32_t kSegmentPositions = 65'536;             // but for a content that has more
constexpr uint32_t kCodeBytesMax = 1u << 20;
constexpr size_t kZerosAtOnce = 1u << 16;  // bytes

struct FileHeader {
  uint64_t magic = kFileMagic;
  uint32_t dimensions = 0;
  uint32_t code_size = 0;
};
struct SegmentHeader {
  uint64_t magic = kSegmentMagic;
  uint32_t contents = 0;
  uint32_t positions = 0;
  uint64_t checksum = 0;
};
struct TableEntry {
  int64_t content = 0;  // 0: it was deleted before it was written
  uint32_t count = 0;
  uint32_t unused = 0;  // no hole whose bytes would be anyone's
  uint64_t checksum = 0;
};

template <typename T>
std::string_view BytesOf(std::span<const T> values) {
  return {reinterpret_cast<const char*>(values.data()), values.size_bytes()};
}

absl::Status Errno(std::string_view what, const std::string& path) {
  return absl::ErrnoToStatus(errno, absl::StrCat(std::string(what), " ", path));
}

bool ReadAt(int fd, uint64_t offset, void* out, size_t size) {
  auto* at = static_cast<char*>(out);
  while (size > 0) {
    const ssize_t got = ::pread(fd, at, size, static_cast<off_t>(offset));
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return false;
    at += got;
    offset += static_cast<uint64_t>(got);
    size -= static_cast<size_t>(got);
  }
  return true;
}

bool WriteAt(int fd, uint64_t offset, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t put = ::pwrite(fd, bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) return false;
    bytes.remove_prefix(static_cast<size_t>(put));
    offset += static_cast<uint64_t>(put);
  }
  return true;
}

uint64_t TableChecksum(const SegmentHeader& header, std::span<const TableEntry> table) {
  CacheChecksum sum;
  const uint32_t numbers[] = {header.contents, header.positions};
  sum.Add(BytesOf(std::span<const uint32_t>(numbers)));
  sum.Add(BytesOf(table));
  return sum.Value();
}

// One segment's table, and where things are in the file.
struct Segment {
  std::vector<TableEntry> table;
  uint32_t positions = 0;
  uint64_t places_at = 0;
  uint64_t codes_at = 0;
  uint64_t end = 0;
};

// Walks the segments of a file as far as they hold.
class Walk {
 public:
  static absl::StatusOr<Walk> Open(const std::string& path, int flags) {
    UniqueFd fd(::open(path.c_str(), flags | O_CLOEXEC));
    if (!fd) return Errno("open", path);
    struct stat info {};
    if (::fstat(fd.get(), &info) != 0) return Errno("stat", path);
    Walk walk(std::move(fd), static_cast<uint64_t>(info.st_size));
    if (!ReadAt(walk.fd(), 0, &walk.header_, sizeof(FileHeader)) || walk.header_.magic != kFileMagic ||
        walk.header_.code_size > kCodeBytesMax) {
      return absl::DataLossError(absl::StrCat(path, " is damaged, or of another version"));
    }
    return walk;
  }

  [[nodiscard]] int fd() const { return fd_.get(); }
  [[nodiscard]] const FileHeader& header() const { return header_; }
  [[nodiscard]] uint64_t at() const { return at_; }

  bool Next(Segment& out) {
    SegmentHeader header;
    if (size_ - at_ < sizeof(header) || !ReadAt(fd(), at_, &header, sizeof(header))) return false;
    const uint64_t table_at = at_ + sizeof(header);
    const uint64_t bytes = uint64_t{header.contents} * sizeof(TableEntry) +
                           uint64_t{header.positions} * (sizeof(SubPassagePlace) + uint64_t{header_.code_size});
    if (header.magic != kSegmentMagic || bytes > size_ - table_at) return false;
    out.table.resize(header.contents);
    if (!ReadAt(fd(), table_at, out.table.data(), out.table.size() * sizeof(TableEntry))) return false;
    if (TableChecksum(header, out.table) != header.checksum) return false;
    uint64_t positions = 0;
    for (const TableEntry& entry : out.table) positions += entry.count;
    if (positions != header.positions) return false;
    out.positions = header.positions;
    out.places_at = table_at + out.table.size() * sizeof(TableEntry);
    out.codes_at = out.places_at + positions * sizeof(SubPassagePlace);
    out.end = at_ = table_at + bytes;
    return true;
  }

 private:
  Walk(UniqueFd fd, uint64_t size) : fd_(std::move(fd)), size_(size) {}

  UniqueFd fd_;
  uint64_t size_;
  uint64_t at_ = sizeof(FileHeader);
  FileHeader header_;
};

uint64_t ContentChecksum(const StoreIndex& index, uint32_t begin, uint32_t end) {
  CacheChecksum sum;
  sum.Add(BytesOf(std::span(index.places).subspan(begin, end - begin)));
  while (begin < end) {
    const std::span<const uint8_t> codes = index.vectors->Codes(begin, end);
    sum.Add(BytesOf(codes));
    begin += static_cast<uint32_t>(codes.size() / index.vectors->code_size());
  }
  return sum.Value();
}

// Reads a segment to the end of the index.
bool ReadSegment(const Walk& walk, const Segment& segment, StoreIndex& index) {
  const uint32_t begin = index.size();
  index.places.resize(begin + segment.positions);
  bool whole =
      ReadAt(walk.fd(), segment.places_at, index.places.data() + begin, segment.positions * sizeof(SubPassagePlace));
  uint64_t at = segment.codes_at;
  for (uint32_t rest = segment.positions; rest > 0;) {
    const std::span<uint8_t> codes = index.vectors->AddCodes(rest);
    whole = ReadAt(walk.fd(), at, codes.data(), codes.size()) && whole;
    at += codes.size();
    rest -= static_cast<uint32_t>(codes.size() / index.vectors->code_size());
  }
  return whole;
}

bool Overwrite(int fd, uint64_t offset, uint64_t size) {
  if (size == 0) return true;
  // Gives the space back too; what is not whole blocks is written with zeros.
  if (::fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, static_cast<off_t>(offset),
                  static_cast<off_t>(size)) == 0) {
    return true;
  }
  const std::string zeros(std::min<uint64_t>(size, kZerosAtOnce), '\0');
  for (uint64_t done = 0; done < size; done += zeros.size()) {
    if (!WriteAt(fd, offset + done, std::string_view(zeros).substr(0, size - done))) return false;
  }
  return true;
}

// Slots [first, last) as they lie in a file.
std::string SegmentOf(const StoreIndex& index, size_t first, size_t last) {
  std::vector<TableEntry> table;
  const uint32_t begin = index.slots[first].begin, end = index.slots[last - 1].end;
  for (size_t i = first; i < last; ++i) {
    const StoreIndex::Slot& slot = index.slots[i];
    TableEntry entry{.content = slot.alive ? slot.content : 0, .count = slot.end - slot.begin};
    if (slot.alive) entry.checksum = ContentChecksum(index, slot.begin, slot.end);
    table.push_back(entry);
  }
  SegmentHeader header{.contents = static_cast<uint32_t>(table.size()), .positions = end - begin};
  header.checksum = TableChecksum(header, table);
  std::string out;
  out.reserve(sizeof(header) + table.size() * sizeof(TableEntry) +
              size_t{end - begin} * (sizeof(SubPassagePlace) + index.vectors->code_size()));
  out += BytesOf(std::span<const SegmentHeader>(&header, 1));
  out += BytesOf(std::span<const TableEntry>(table));
  const size_t places_at = out.size();
  out += BytesOf(std::span(index.places).subspan(begin, end - begin));
  const size_t codes_at = out.size();
  for (uint32_t p = begin; p < end;) {
    const std::span<const uint8_t> codes = index.vectors->Codes(p, end);
    out += BytesOf(codes);
    p += static_cast<uint32_t>(codes.size() / index.vectors->code_size());
  }
  // Of what is deleted already, nothing.
  for (size_t i = first; i < last; ++i) {
    const StoreIndex::Slot& slot = index.slots[i];
    if (slot.alive) continue;
    const auto zero = [&](size_t at, size_t size) {
      std::fill_n(out.begin() + static_cast<ptrdiff_t>(at + (slot.begin - begin) * size),
                  (slot.end - slot.begin) * size, '\0');
    };
    zero(places_at, sizeof(SubPassagePlace));
    zero(codes_at, index.vectors->code_size());
  }
  return out;
}

}  // namespace

void LoadVectorFile(const std::string& path, uint32_t dimensions, const absl::flat_hash_set<int64_t>& wanted,
                    StoreIndex& index) {
  absl::StatusOr<Walk> walk = Walk::Open(path, O_RDONLY);
  if (!walk.ok()) return;
  index.vectors = std::make_unique<VectorIndex>(dimensions);
  if (walk->header().dimensions != dimensions || walk->header().code_size != index.vectors->code_size()) return;
  ::posix_fadvise(walk->fd(), 0, 0, POSIX_FADV_SEQUENTIAL);
  index.file_end = walk->at();
  for (Segment segment; walk->Next(segment);) {
    uint32_t begin = index.size();
    const bool read = ReadSegment(*walk, segment, index);
    for (const TableEntry& entry : segment.table) {
      const uint32_t end = begin + entry.count;
      const bool alive = read && wanted.contains(entry.content) && !index.slot_of.contains(entry.content) &&
                         ContentChecksum(index, begin, end) == entry.checksum;
      if (alive) index.slot_of[entry.content] = static_cast<uint32_t>(index.slots.size());
      index.slots.push_back({.content = entry.content, .begin = begin, .end = end, .alive = alive});
      index.live.Resize(end);
      if (alive) index.live.AddRange(begin, end);
      begin = end;
    }
    index.file_end = segment.end;
  }
  index.slots_in_file = index.slots.size();
}

absl::Status AppendVectorFile(const std::string& path, StoreIndex& index) {
  size_t first = 0, all = 0;
  uint64_t at = 0;
  FileHeader header;
  {
    const std::shared_lock lock(index.mutex);
    first = index.slots_in_file;
    at = index.file_end;
    all = index.slots.size();
    header.dimensions = index.vectors->dimensions();
    header.code_size = static_cast<uint32_t>(index.vectors->code_size());
  }
  const UniqueFd fd(::open(path.c_str(), O_RDWR | O_CLOEXEC | (at == 0 ? O_CREAT | O_TRUNC : 0), 0600));
  if (!fd) return Errno("open", path);
  if (at == 0) {
    if (!WriteAt(fd.get(), 0, BytesOf(std::span<const FileHeader>(&header, 1)))) return Errno("write", path);
    at = sizeof(header);
  }
  if (::ftruncate(fd.get(), static_cast<off_t>(at)) != 0) return Errno("truncate", path);
  while (first < all) {
    std::string segment;
    size_t last = first;
    {
      const std::shared_lock lock(index.mutex);
      const uint32_t begin = index.slots[first].begin;
      while (last < all && (last == first || index.slots[last].end - begin <= kSegmentPositions)) ++last;
      segment = SegmentOf(index, first, last);
    }
    if (!WriteAt(fd.get(), at, segment)) return Errno("write", path);
    at += segment.size();
    first = last;
  }
  if (::fdatasync(fd.get()) != 0) return Errno("fdatasync", path);
  const std::unique_lock lock(index.mutex);
  index.slots_in_file = all;
  index.file_end = at;
  return absl::OkStatus();
}

absl::Status ForgetInVectorFile(const std::string& path, const std::function<bool(int64_t content)>& gone) {
  absl::StatusOr<Walk> walk = Walk::Open(path, O_RDWR);
  if (absl::IsNotFound(walk.status())) return absl::OkStatus();
  if (!walk.ok()) return walk.status();
  for (Segment segment; walk->Next(segment);) {
    uint64_t position = 0;
    for (const TableEntry& entry : segment.table) {
      const uint64_t place = sizeof(SubPassagePlace), code = walk->header().code_size;
      if (entry.content != 0 && gone(entry.content) &&
          (!Overwrite(walk->fd(), segment.places_at + position * place, entry.count * place) ||
           !Overwrite(walk->fd(), segment.codes_at + position * code, entry.count * code))) {
        return Errno("overwrite", path);
      }
      position += entry.count;
    }
  }
  return absl::OkStatus();
}

}  // namespace carrel::retrieval
