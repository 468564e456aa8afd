// Files of indexes, which are caches and never trusted. The first byte says what the rest is: a whole file, or what
// stands in one between its magic number and a checksum that holds (somebody made it so). Promised: DATA_LOSS, or an
// index that can be searched whatever its numbers say; a file without its checksum is never an index.
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <string>

#include "fuzzer.h"
#include "retrieval/index_cache.h"
#include "retrieval/position_set.h"
#include "retrieval/postings.h"
#include "retrieval/vector_index.h"

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
  std::string file = "carreli1";
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
      !in.Array(parts.centroids).ok() || !in.Array(parts.cell_of).ok()) {
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

}  // namespace

void Target(std::string_view input) {
  Bytes bytes(input);
  const uint8_t kind = bytes.Byte() % 3;
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
