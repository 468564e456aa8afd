// Files of indexes, which are caches and never trusted. The first byte says what the rest is: a whole file, or what
// stands in one between its magic number and a checksum that holds (somebody made it so), or a file of vectors.
// Promised: DATA_LOSS, or an index that can be searched whatever its numbers say; a file without its checksum is never
// an index.
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <string>

#include "fuzzer.h"
#include "retrieval/index_cache.h"
#include "retrieval/position_set.h"
#include "retrieval/postings.h"
#include "retrieval/vector_index.h"
#include "store_index.h"
#include "vector_file.h"

namespace carrel::fuzz {
namespace {

using namespace retrieval;  // NOLINT: one file, one subject

// A file in memory, by a path.
class MemoryFile {
 public:
  explicit MemoryFile(std::string_view bytes) : fd_(::memfd_create("index", MFD_CLOEXEC)) {
    FUZZ_CHECK(fd_ >= 0 && ::write(fd_, bytes.data(), bytes.size()) == static_cast<ssize_t>(bytes.size()));
  }
  ~MemoryFile() { ::close(fd_); }
  MemoryFile(const MemoryFile&) = delete;
  MemoryFile& operator=(const MemoryFile&) = delete;
  [[nodiscard]] std::string path() const { return "/proc/self/fd/" + std::to_string(fd_); }

 private:
  int fd_;
};

std::string Sealed(std::string_view rest) {
  std::string file = "carreli2";
  file.append(rest);
  CacheChecksum checksum;
  checksum.Add(file);
  const uint64_t sum = checksum.Value();
  file.append(reinterpret_cast<const char*>(&sum), sizeof(sum));
  return file;
}

// What IndexRegistry keeps of a content in both kinds of file.
struct Place {
  int64_t content = 0;
  uint32_t count = 0;
  uint32_t unused = 0;
};

void ReadCells(CacheReader in) {
  std::vector<Place> places;
  VectorLists::Parts parts;
  if (!in.Array(places).ok() || !in.Value(parts.dimensions).ok() || !in.Value(parts.probes).ok() ||
      !in.Value(parts.probed).ok() || !in.Array(parts.centroids).ok() || !in.Array(parts.cell_of).ok()) {
    return;
  }
  const uint32_t dimensions = parts.dimensions;
  const auto lists = VectorLists::FromParts(std::move(parts));
  if (!lists.ok() || dimensions > 64 || (*lists)->listed() > 4096) return;
  VectorIndex index(dimensions);
  std::vector<float> vector(dimensions, 0.0F);
  for (uint32_t i = 0; i < (*lists)->listed() + 3; ++i) {
    vector[i % dimensions] = 1;
    index.Add(vector);
    vector[i % dimensions] = 0;
  }
  index.Install(*lists);
  vector[0] = 1;
  for (const VectorMatch& match : index.Search(vector, 10, nullptr)) FUZZ_CHECK(match.position < index.size());
  PositionSet some(index.size());
  some.Add(0);
  for (const VectorMatch& match : index.Search(vector, 10, &some)) FUZZ_CHECK(match.position == 0);
  FUZZ_CHECK((*lists)->With(vector)->listed() == (*lists)->listed() + 1);
}

void ReadPostings(CacheReader in) {
  std::vector<Place> places;
  if (!in.Array(places).ok()) return;
  const auto postings = Postings::Read(in);
  if (!postings.ok()) return;
  const PostingsTail tail(postings->get());
  const std::vector<std::string> terms = {"lamp", "green", "pump", "", "zzz"};
  for (const TermScore& score : SearchPostings(**postings, tail, terms, 10, nullptr)) {
    FUZZ_CHECK(score.position < (*postings)->positions());
  }
  PositionSet none((*postings)->positions());
  FUZZ_CHECK(SearchPostings(**postings, tail, terms, 10, &none).empty());
}

// A file of vectors (vector_file.h) of two dimensions whose checksums hold, but for one in eight.
std::string VectorsOf(Bytes& bytes) {
  struct Segment {
    uint64_t magic = 0x3174'6e65'6d67'6573;
    uint32_t contents = 0;
    uint32_t positions = 0;
    uint64_t checksum = 0;
  };
  struct Entry {
    int64_t content = 0;
    uint32_t count = 0;
    uint32_t unused = 0;
    uint64_t checksum = 0;
  };
  constexpr size_t kBytesEach = sizeof(SubPassagePlace) + 4;
  const auto put = [](std::string& out, const void* value, size_t size) {
    out.append(static_cast<const char*>(value), size);
  };
  std::string out;
  const uint64_t magic = 0x3176'6c65'7272'6163;
  const uint32_t numbers[] = {2, 4};
  put(out, &magic, sizeof(magic));
  put(out, numbers, sizeof(numbers));
  for (int segments = bytes.Byte() % 4; segments > 0; --segments) {
    std::vector<Entry> table(bytes.Byte() % 6);
    Segment segment{.contents = static_cast<uint32_t>(table.size())};
    std::string places, codes;
    for (Entry& entry : table) {
      entry.content = bytes.Byte() % 8;
      entry.count = bytes.Byte() % 5;
      segment.positions += entry.count;
      CacheChecksum sum;
      std::string of_this;
      for (uint32_t i = 0; i < entry.count * kBytesEach; ++i) of_this.push_back(static_cast<char>(bytes.Byte()));
      sum.Add(of_this);
      entry.checksum = sum.Value() ^ (bytes.Byte() % 8 == 1 ? 1 : 0);
      places += of_this.substr(0, entry.count * sizeof(SubPassagePlace));
      codes += of_this.substr(entry.count * sizeof(SubPassagePlace));
    }
    CacheChecksum sum;
    sum.Add({reinterpret_cast<const char*>(&segment.contents), 2 * sizeof(uint32_t)});
    sum.Add({reinterpret_cast<const char*>(table.data()), table.size() * sizeof(Entry)});
    segment.checksum = sum.Value() ^ (bytes.Byte() % 8 == 1 ? 1 : 0);
    put(out, &segment, sizeof(segment));
    put(out, table.data(), table.size() * sizeof(Entry));
    out += places + codes;
  }
  out.append(bytes.Rest());
  return out;
}

void LoadVectors(const std::string& path) {
  StoreIndex index;
  LoadVectorFile(path, 2, {1, 2, 3}, index);
  if (index.vectors == nullptr) return;
  FUZZ_CHECK(index.vectors->size() == index.size() && index.live.size() <= index.size());
  uint32_t end = 0;
  for (const StoreIndex::Slot& slot : index.slots) {
    FUZZ_CHECK(slot.begin == end && slot.end >= slot.begin);
    end = slot.end;
    FUZZ_CHECK(!slot.alive || (slot.content >= 1 && slot.content <= 3));
  }
  FUZZ_CHECK(end == index.size() && index.slot_of.size() <= 3);
  // Planted: a reader with room for a dozen vectors.
  FUZZ_CHECK(!Planted() || index.size() <= 12);
  const std::vector<float> question = {1, 0};
  const auto found = index.SearchVectors(question, 10, index.AllowedBy({}));
  FUZZ_CHECK(found.ok());
  for (const IndexMatch& match : *found) FUZZ_CHECK(match.content >= 1 && match.content <= 3);
  const absl::Status forgotten = ForgetInVectorFile(path, [](int64_t) { return true; });
  FUZZ_CHECK(forgotten.ok() || absl::IsDataLoss(forgotten));
}

}  // namespace

void Target(std::string_view input) {
  Bytes bytes(input);
  const uint8_t kind = bytes.Byte() % 4;
  if (kind == 3) {
    const bool raw = bytes.Byte() % 8 == 0;
    const MemoryFile memory(raw ? std::string(bytes.Rest()) : VectorsOf(bytes));
    return LoadVectors(memory.path());
  }
  const std::string file = kind == 0 ? std::string(bytes.Rest()) : Sealed(bytes.Rest());
  const MemoryFile memory(file);
  auto reader = CacheReader::Open(memory.path());
  if (!reader.ok()) {
    FUZZ_CHECK(absl::IsDataLoss(reader.status()) && kind == 0);
    return;
  }
  if (kind == 1) ReadCells(*std::move(reader));
  if (kind == 2) ReadPostings(*std::move(reader));
}

}  // namespace carrel::fuzz
