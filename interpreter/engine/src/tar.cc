#include "interpreter/engine/tar.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <utility>

#include "interpreter/engine/artifacts.h"
#include "interpreter/engine/errors.h"
#include "interpreter/engine/text.h"

namespace carrel::interpreter {
namespace {

constexpr uint64_t kBlock = 512;
// Of a pax header or a long name. Ours have two records.
constexpr uint64_t kExtendedBytesMax = 64 << 10;
// The most that 11 octal digits say.
constexpr uint64_t kOctalSizeMax = 077777777777;
constexpr int64_t kNanosPerSecond = 1'000'000'000;

// Where a header keeps what (offset, bytes).
struct Field {
  size_t offset;
  size_t bytes;
};
constexpr Field kName = {0, 100};
constexpr Field kMode = {100, 8};
constexpr Field kUid = {108, 8};
constexpr Field kGid = {116, 8};
constexpr Field kSize = {124, 12};
constexpr Field kModified = {136, 12};
constexpr Field kChecksum = {148, 8};
constexpr Field kType = {156, 1};
constexpr Field kMagic = {257, 8};
constexpr Field kPrefix = {345, 155};

constexpr std::string_view kUstar("ustar\00000", 8);
constexpr std::string_view kGnu("ustar  \0", 8);

constexpr char kTypeFile = '0';
constexpr char kTypeOldFile = '\0';
constexpr char kTypeDirectory = '5';
constexpr char kTypePax = 'x';
constexpr char kTypeGlobalPax = 'g';
constexpr char kTypeGnuLongName = 'L';

absl::Status Refuse(std::string_view what, std::string_view expected) {
  return InvalidField("archive", what, expected);
}

// Of a name in a message.
std::string Quoted(std::string_view path) { return StrCat("\"", EscapePath(path.substr(0, 200)), "\""); }

std::string_view Get(std::string_view header, Field field) { return header.substr(field.offset, field.bytes); }

// Up to the first NUL.
std::string_view Text(std::string_view field) { return field.substr(0, std::min(field.find('\0'), field.size())); }

uint64_t Checksum(std::string_view header) {
  uint64_t sum = 0;
  for (size_t i = 0; i < kBlock; ++i) {
    const bool own = i >= kChecksum.offset && i < kChecksum.offset + kChecksum.bytes;
    sum += own ? ' ' : static_cast<uint8_t>(header[i]);
  }
  return sum;
}

// Octal digits, spaces before and a space or NUL behind. GNU's binary numbers are not taken.
std::optional<uint64_t> Octal(std::string_view field) {
  while (!field.empty() && field.front() == ' ') field.remove_prefix(1);
  uint64_t value = 0;
  size_t digits = 0;
  while (!field.empty() && field.front() >= '0' && field.front() <= '7') {
    value = value * 8 + static_cast<uint64_t>(field.front() - '0');  // 12 digits fit
    field.remove_prefix(1);
    ++digits;
  }
  const bool ends = std::all_of(field.begin(), field.end(), [](char c) { return c == ' ' || c == '\0'; });
  if (digits == 0 || !ends) return std::nullopt;
  return value;
}

std::optional<uint64_t> Decimal(std::string_view text) {
  if (text.empty() || text.size() > 18) return std::nullopt;
  uint64_t value = 0;
  for (const char c : text) {
    if (c < '0' || c > '9') return std::nullopt;
    value = value * 10 + static_cast<uint64_t>(c - '0');
  }
  return value;
}

// "-12.5": seconds with a fraction, as nanoseconds.
std::optional<int64_t> Nanoseconds(std::string_view text) {
  const bool negative = text.starts_with('-');
  if (negative) text.remove_prefix(1);
  const size_t dot = std::min(text.find('.'), text.size());
  const std::optional<uint64_t> seconds = Decimal(text.substr(0, dot));
  // Nine digits and a bit: until the year 2262 it fits.
  if (!seconds || *seconds > 9'000'000'000) return std::nullopt;
  std::string fraction(text.substr(std::min(dot + 1, text.size())));
  if (!std::all_of(fraction.begin(), fraction.end(), [](char c) { return c >= '0' && c <= '9'; })) return std::nullopt;
  fraction.resize(9, '0');
  const int64_t value = static_cast<int64_t>(*seconds) * kNanosPerSecond + static_cast<int64_t>(*Decimal(fraction));
  return negative ? -value : value;
}

void PutText(std::string& header, Field field, std::string_view text) {
  std::copy_n(text.begin(), std::min(text.size(), field.bytes), header.begin() + static_cast<ptrdiff_t>(field.offset));
}

void PutOctal(std::string& header, Field field, uint64_t value) {
  for (size_t i = field.bytes - 1; i > 0; --i, value /= 8)
    header[field.offset + i - 1] = static_cast<char>('0' + value % 8);
}

std::string MakeHeader(std::string_view name, char type, uint64_t size, uint32_t mode, uint64_t modified_s) {
  std::string header(kBlock, '\0');
  PutText(header, kName, name);
  PutOctal(header, kMode, mode);
  PutOctal(header, kUid, 0);
  PutOctal(header, kGid, 0);
  PutOctal(header, kSize, size);
  PutOctal(header, kModified, modified_s);
  header[kType.offset] = type;
  PutText(header, kMagic, kUstar);
  // Six digits, NUL, space: as every tar writes it.
  const uint64_t sum = Checksum(header);
  PutOctal(header, {kChecksum.offset, 7}, sum);
  header[kChecksum.offset + 7] = ' ';
  return header;
}

// "LENGTH KEY=VALUE\n", where the length counts itself.
std::string PaxRecord(std::string_view key, std::string_view value) {
  const size_t rest = key.size() + value.size() + 3;
  size_t length = rest + 1;
  while (StrCat(length).size() + rest != length) length = StrCat(length).size() + rest;
  return StrCat(length, " ", key, "=", value, "\n");
}

std::string PaxTime(int64_t ns) {
  const uint64_t magnitude = ns < 0 ? uint64_t{0} - static_cast<uint64_t>(ns) : static_cast<uint64_t>(ns);
  std::string fraction = StrCat(magnitude % kNanosPerSecond);
  fraction.insert(0, 9 - fraction.size(), '0');
  return StrCat(ns < 0 ? "-" : "", magnitude / kNanosPerSecond, ".", fraction);
}

uint64_t PaddingOf(uint64_t bytes) { return (kBlock - bytes % kBlock) % kBlock; }

bool IsAscii(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return static_cast<uint8_t>(c) < 0x80; });
}

// What a type that is refused is called.
std::string_view TypeName(char type) {
  switch (type) {
    case '1':
      return "a hard link";
    case '2':
      return "a symbolic link";
    case '3':
      return "a character device";
    case '4':
      return "a block device";
    case '6':
      return "a FIFO";
    case 'S':
      return "a sparse file";
    default:
      return "an entry of an unknown type";
  }
}

// Keys that say nothing about a workspace's file, and are passed over.
bool Harmless(std::string_view key) {
  static constexpr std::array<std::string_view, 7> kKeys = {"atime", "ctime", "uid",    "gid",
                                                            "uname", "gname", "comment"};
  return std::find(kKeys.begin(), kKeys.end(), key) != kKeys.end() || key.starts_with("SCHILY.") ||
         key.starts_with("LIBARCHIVE.");
}

}  // namespace

absl::Status TarWriter::Add(const TarEntry& entry) {
  if (left_ > 0) return absl::FailedPreconditionError(StrCat("the last file lacks ", left_, " bytes"));
  const bool directory = entry.kind == TarEntry::Kind::kDirectory;
  const std::string name = directory ? StrCat(entry.path, "/") : entry.path;
  const uint64_t size = directory ? 0 : entry.size_bytes;
  std::string pax;
  if (name.size() > kName.bytes || !IsAscii(name)) pax += PaxRecord("path", name);
  if (size > kOctalSizeMax) pax += PaxRecord("size", StrCat(size));
  if (entry.modified_ns < 0 || entry.modified_ns % kNanosPerSecond != 0) {
    pax += PaxRecord("mtime", PaxTime(entry.modified_ns));
  }
  const uint64_t seconds = static_cast<uint64_t>(std::max<int64_t>(entry.modified_ns, 0) / kNanosPerSecond);
  std::string bytes;
  if (!pax.empty()) {
    bytes += MakeHeader("pax", kTypePax, pax.size(), 0644, seconds) + pax;
    bytes.append(PaddingOf(pax.size()), '\0');
  }
  bytes += MakeHeader(name.substr(0, kName.bytes), directory ? kTypeDirectory : kTypeFile,
                      size > kOctalSizeMax ? 0 : size, entry.mode & 0777, seconds);
  left_ = size;
  padding_ = PaddingOf(size);
  return sink_(bytes);
}

absl::Status TarWriter::Data(std::string_view bytes) {
  if (bytes.size() > left_) return absl::FailedPreconditionError("more bytes than the entry has");
  left_ -= bytes.size();
  if (absl::Status sent = sink_(bytes); !sent.ok() || left_ > 0 || padding_ == 0) return sent;
  return sink_(std::string(std::exchange(padding_, 0), '\0'));
}

absl::Status TarWriter::Finish() {
  if (left_ > 0) return absl::FailedPreconditionError(StrCat("the last file lacks ", left_, " bytes"));
  return sink_(std::string(2 * kBlock, '\0'));
}

absl::StatusOr<std::string> TarReader::ReadAt(uint64_t offset, uint64_t bytes) const {
  if (offset > archive_bytes_ || bytes > archive_bytes_ - offset) {
    return Refuse(StrCat("cut off at byte ", archive_bytes_), "a whole archive, with two empty blocks at its end");
  }
  std::string text(bytes, '\0');
  for (size_t have = 0; have < bytes;) {
    const ssize_t count =
        TEMP_FAILURE_RETRY(::pread(fd_, text.data() + have, bytes - have, static_cast<off_t>(offset + have)));
    if (count <= 0)
      return absl::InternalError(StrCat("reading the archive: ", count < 0 ? ::strerror(errno) : "shorter"));
    have += static_cast<size_t>(count);
  }
  return text;
}

absl::StatusOr<std::string> TarReader::TakeText(uint64_t bytes) {
  if (bytes > kExtendedBytesMax) {
    return Refuse(StrCat("an extended header of ", bytes, " bytes"), StrCat("at most ", kExtendedBytesMax));
  }
  absl::StatusOr<std::string> text = ReadAt(at_, bytes);
  at_ += bytes + PaddingOf(bytes);
  return text;
}

absl::Status TarReader::ParsePax(std::string_view records, Extended& extended) {
  while (!records.empty()) {
    const size_t blank = records.find(' ');
    const std::optional<uint64_t> length = blank <= 8 ? Decimal(records.substr(0, blank)) : std::nullopt;
    if (!length || *length <= blank + 1 || *length > records.size() || records[*length - 1] != '\n') {
      return Refuse("a pax header of no known form", "\"LENGTH KEY=VALUE\" lines");
    }
    const std::string_view record = records.substr(blank + 1, *length - blank - 2);
    records.remove_prefix(*length);
    const size_t equals = record.find('=');
    if (equals == std::string_view::npos) return Refuse("a pax header without \"=\"", "\"LENGTH KEY=VALUE\" lines");
    const std::string_view key = record.substr(0, equals);
    const std::string_view value = record.substr(equals + 1);
    if (key == "path") {
      extended.path = std::string(value);
    } else if (key == "size") {
      extended.size_bytes = Decimal(value);
      if (!extended.size_bytes) return Refuse(StrCat("the size ", Quoted(value)), "a decimal number");
    } else if (key == "mtime") {
      extended.modified_ns = Nanoseconds(value);
      if (!extended.modified_ns) return Refuse(StrCat("the time ", Quoted(value)), "seconds since 1970");
    } else if (!Harmless(key)) {
      return Refuse(StrCat("the pax key ", Quoted(key)), "path, size and mtime only: plain files and directories");
    }
  }
  return absl::OkStatus();
}

absl::Status TarReader::CheckEnd() {
  // One empty block was seen; nothing but empty ones may follow, and nobody hides an archive behind the first.
  while (at_ < archive_bytes_) {
    const absl::StatusOr<std::string> rest = ReadAt(at_, std::min<uint64_t>(archive_bytes_ - at_, kExtendedBytesMax));
    if (!rest.ok()) return rest.status();
    if (rest->find_first_not_of('\0') != std::string::npos) {
      return Refuse("bytes behind its end", "nothing but zeros there");
    }
    at_ += rest->size();
  }
  return absl::OkStatus();
}

absl::StatusOr<TarReader::Found> TarReader::ToEntry(std::string_view header, char type, const Extended& extended) {
  const std::string prefix(Get(header, kMagic) == kUstar ? Text(Get(header, kPrefix)) : std::string_view());
  const std::string name(Text(Get(header, kName)));
  std::string path = extended.path.value_or(prefix.empty() ? name : StrCat(prefix, "/", name));
  if (type != kTypeFile && type != kTypeOldFile && type != kTypeDirectory) {
    return Refuse(StrCat(Quoted(path), ", ", TypeName(type)), "regular files and directories only");
  }
  const bool directory = type == kTypeDirectory || (type == kTypeOldFile && path.ends_with('/'));
  while (path.starts_with("./")) path.erase(0, 2);
  if (directory && path.ends_with('/')) path.pop_back();
  const std::optional<uint64_t> size = extended.size_bytes ? extended.size_bytes : Octal(Get(header, kSize));
  const std::optional<uint64_t> mode = Octal(Get(header, kMode));
  const std::optional<uint64_t> modified = Octal(Get(header, kModified));
  if (!size || !mode || !modified) {
    return Refuse(StrCat("the header of ", Quoted(path)), "octal numbers for size, mode and time");
  }
  if (directory && *size != 0) return Refuse(StrCat(Quoted(path), ", a directory with content"), "directories without");
  Found found{
      .entry = {.path = std::move(path),
                .kind = directory ? TarEntry::Kind::kDirectory : TarEntry::Kind::kFile,
                .size_bytes = *size,
                .mode = static_cast<uint32_t>(*mode & 0777),
                .modified_ns = extended.modified_ns.value_or(static_cast<int64_t>(*modified) * kNanosPerSecond)},
      .offset = at_};
  return found;
}

absl::StatusOr<std::optional<TarReader::Found>> TarReader::Next() {
  while (true) {
    absl::StatusOr<std::optional<Found>> found = NextEntry();
    if (!found.ok() || !*found) return found;
    const TarEntry& entry = (*found)->entry;
    // "./", which `tar -C workspace .` writes first: it is there already.
    if (entry.kind == TarEntry::Kind::kDirectory && (entry.path == "." || entry.path.empty())) continue;
    if (absl::Status path = CheckPath("archive", entry.path); !path.ok()) return path;
    return found;
  }
}

absl::StatusOr<std::optional<TarReader::Found>> TarReader::NextEntry() {
  Extended extended;
  // A pax header or long name, each at most twice (Python and GNU tar write one), then the entry itself.
  for (int headers = 0; headers < 5; ++headers) {
    const absl::StatusOr<std::string> header = ReadAt(at_, kBlock);
    if (!header.ok()) return header.status();
    at_ += kBlock;
    if (header->find_first_not_of('\0') == std::string::npos) {
      if (headers > 0) return Refuse("an extended header without its entry", "an entry after it");
      if (absl::Status end = CheckEnd(); !end.ok()) return end;
      return std::nullopt;
    }
    const std::string_view magic = Get(*header, kMagic);
    if ((magic != kUstar && magic != kGnu) || Octal(Get(*header, kChecksum)) != Checksum(*header)) {
      return Refuse(StrCat("no header at byte ", at_ - kBlock),
                    "a ustar archive (tar --format=pax, or Python's tarfile)");
    }
    const char type = (*header)[kType.offset];
    if (type == kTypePax || type == kTypeGlobalPax || type == kTypeGnuLongName) {
      const std::optional<uint64_t> size = Octal(Get(*header, kSize));
      if (!size) return Refuse("an extended header without a size", "an octal number");
      absl::StatusOr<std::string> text = TakeText(*size);
      if (!text.ok()) return text.status();
      if (type == kTypeGnuLongName) {
        extended.path = std::string(Text(*text));
      } else {
        Extended global;  // of a global header only what is passed over may be said
        if (absl::Status parsed = ParsePax(*text, type == kTypePax ? extended : global); !parsed.ok()) return parsed;
        if (global.path || global.size_bytes || global.modified_ns) {
          return Refuse("a global pax header about paths, sizes or times", "a pax header for each entry");
        }
      }
      continue;
    }
    absl::StatusOr<Found> found = ToEntry(*header, type, extended);
    if (!found.ok()) return found.status();
    TarEntry& entry = found->entry;
    if (++entries_ > limits_.entries_max) {
      return absl::ResourceExhaustedError(StrCat("the archive has more than ", limits_.entries_max, " entries"));
    }
    if (entry.size_bytes > limits_.content_bytes_max - content_bytes_) {
      return absl::ResourceExhaustedError(StrCat("the archive's files have more than ", limits_.content_bytes_max,
                                                 " bytes, which the workspace can hold"));
    }
    content_bytes_ += entry.size_bytes;
    if (entry.size_bytes > archive_bytes_ - at_) {
      return Refuse(StrCat(Quoted(entry.path), " of ", entry.size_bytes, " bytes"), "a whole archive: it is cut off");
    }
    at_ += entry.size_bytes + PaddingOf(entry.size_bytes);
    return std::optional<Found>(*std::move(found));
  }
  return Refuse("extended headers in a row", "one for each entry");
}

}  // namespace carrel::interpreter
