#include "office_package.h"

#include <zip.h>

#include <algorithm>
#include <new>
#include <vector>

#include "block_writer.h"
#include "sniff.h"
#include "xml.h"

namespace carrel::retrieval::extract {
namespace {

using wire::ExtractVerdict;

Refusal Refuse(ExtractVerdict verdict, std::string sentence) {
  return {{.verdict = verdict, .sentence = std::move(sentence)}};
}
Refusal Damaged(const std::string& what) {
  return Refuse(ExtractVerdict::kDamaged, "The document is damaged: " + what + ".");
}

// Of an OLE container's directory: names are UTF-16.
bool HasStream(std::string_view bytes, std::string_view name) {
  std::string wide;
  for (const char c : name) wide += {c, '\0'};
  return bytes.find(wide) != std::string_view::npos;
}

// Printable, for a sentence.
std::string Shown(std::string_view name) {
  std::string shown;
  for (const char c : CutUtf8(name, 100)) shown += static_cast<unsigned char>(c) < 0x20 || c == 0x7F ? '?' : c;
  return shown;
}

std::string_view LastPiece(std::string_view address) {
  const size_t slash = address.rfind('/');
  return slash == std::string_view::npos ? address : address.substr(slash + 1);
}

std::string FolderOf(std::string_view part) {
  const size_t slash = part.rfind('/');
  return slash == std::string_view::npos ? "" : std::string(part.substr(0, slash + 1));
}

// "ppt/slides/" and "../media/x.png" to "ppt/media/x.png". What leads out of the archive ends at its top.
std::string Resolve(std::string_view folder, std::string_view target) {
  std::string path =
      target.starts_with('/') ? std::string(target.substr(1)) : std::string(folder) + std::string(target);
  std::vector<std::string_view> pieces;
  std::string_view rest = path;
  while (!rest.empty()) {
    const size_t slash = std::min(rest.find('/'), rest.size());
    const std::string_view piece = rest.substr(0, slash);
    rest.remove_prefix(std::min(slash + 1, rest.size()));
    if (piece == "..") {
      if (!pieces.empty()) pieces.pop_back();
    } else if (!piece.empty() && piece != ".") {
      pieces.push_back(piece);
    }
  }
  std::string resolved;
  for (const std::string_view piece : pieces) {
    if (!resolved.empty()) resolved += '/';
    resolved += piece;
  }
  return resolved;
}

struct FileCloser {
  void operator()(zip_file_t* file) const { zip_fclose(file); }
};
using OpenFile = std::unique_ptr<zip_file_t, FileCloser>;

// What another document of the family is called.
std::string_view KindOf(std::string_view root) {
  if (root == "document") return "a Word document (docx)";
  if (root == "workbook") return "an Excel workbook (xlsx)";
  if (root == "presentation") return "a PowerPoint presentation (pptx)";
  return "a ZIP archive of another kind";
}

}  // namespace

struct OfficePackage::Archive {
  zip_t* zip = nullptr;
  ~Archive() {
    if (zip != nullptr) zip_discard(zip);
  }
};

OfficePackage::OfficePackage(std::string_view bytes, std::string_view name_says, std::string_view root)
    : archive_(std::make_unique<Archive>()) {
  if (IsOle(bytes)) {
    if (HasStream(bytes, "EncryptedPackage")) {
      throw Refuse(ExtractVerdict::kEncrypted, "The document is encrypted and needs a password.");
    }
    throw Refuse(
        ExtractVerdict::kUnsupported,
        "Its name says " + std::string(name_says) +
            " and its bytes are those of an Office version before 2007; open it and save it as what its name says.");
  }
  if (!IsZip(bytes)) throw Refusal{Mismatch(name_says, LooksLike(bytes))};
  zip_error_t error;
  zip_error_init(&error);
  zip_source_t* source = zip_source_buffer_create(bytes.data(), bytes.size(), 0, &error);
  if (source == nullptr) throw std::bad_alloc();
  archive_->zip = zip_open_from_source(source, ZIP_RDONLY, &error);
  if (archive_->zip == nullptr) {
    zip_source_free(source);
    if (zip_error_code_zip(&error) == ZIP_ER_MEMORY) throw std::bad_alloc();
    throw Damaged("its archive has no readable directory");
  }
  const zip_int64_t entries = zip_get_num_entries(archive_->zip, 0);
  if (entries > static_cast<zip_int64_t>(kZipEntriesMax)) {
    throw ShapeLimit{"at most " + std::to_string(kZipEntriesMax) + " entries of an archive are read, and it has " +
                     std::to_string(entries)};
  }
  FindMainPart(name_says, root);
}

OfficePackage::~OfficePackage() = default;

void OfficePackage::FindMainPart(std::string_view name_says, std::string_view root) {
  main_part_ = TargetOf(RelationshipsOf(""), "officeDocument");
  if (main_part_.empty()) throw Refusal{Mismatch(name_says, "a ZIP archive of another kind")};
  // Its first element says what it is; the rest is read later.
  class Root final : public XmlEvents {
   public:
    void Begin(std::string_view name, const XmlAttributes&) override {
      if (name_.empty()) name_ = name;
    }
    void End(std::string_view) override {}
    void Text(std::string_view) override {}
    [[nodiscard]] const std::string& name() const { return name_; }

   private:
    std::string name_;
  };
  struct Seen {};
  Root first;
  try {
    XmlParser parser(main_part_, first);
    const bool found = Stream(main_part_, [&](std::string_view piece) {
      parser.Feed(piece);
      if (!first.name().empty()) throw Seen{};
    });
    if (!found) throw Damaged(Shown(main_part_) + " is not in its archive");
    parser.Finish();
  } catch (const Seen&) {
  }
  inflated_ = 0;
  if (first.name() != root) throw Refusal{Mismatch(name_says, KindOf(first.name()))};
}

bool OfficePackage::Stream(const std::string& part, const std::function<void(std::string_view)>& take) {
  const zip_int64_t index = zip_name_locate(archive_->zip, part.c_str(), ZIP_FL_NOCASE);
  if (index < 0) return false;
  const auto entry = static_cast<zip_uint64_t>(index);
  zip_stat_t info;
  zip_stat_init(&info);
  if (zip_stat_index(archive_->zip, entry, 0, &info) != 0) throw Damaged(Shown(part) + " cannot be looked up");
  if ((info.valid & ZIP_STAT_ENCRYPTION_METHOD) != 0 && info.encryption_method != ZIP_EM_NONE) {
    throw Refuse(ExtractVerdict::kEncrypted, "The document's archive is encrypted and needs a password.");
  }
  if (info.comp_method != ZIP_CM_STORE && info.comp_method != ZIP_CM_DEFLATE) {
    throw Refuse(ExtractVerdict::kUnsupported, "The document's parts are compressed in a way that is not read.");
  }
  const OpenFile file(zip_fopen_index(archive_->zip, entry, 0));
  if (file == nullptr) throw Damaged(Shown(part) + " cannot be opened");
  std::string buffer(256u << 10, '\0');
  uint64_t of_part = 0;
  while (true) {
    const zip_int64_t got = zip_fread(file.get(), buffer.data(), buffer.size());
    if (got < 0) throw Damaged(Shown(part) + " cannot be unpacked");
    if (got == 0) return true;
    of_part += static_cast<uint64_t>(got);
    inflated_ += static_cast<uint64_t>(got);
    if (of_part > kZipRatioFromBytes && of_part / kZipRatioMax > info.comp_size) {
      throw ShapeLimit{"it unpacks to more than " + std::to_string(kZipRatioMax) + " times its size, as ZIP bombs do"};
    }
    if (inflated_ > kZipInflatedBytesMax) {
      throw ShapeLimit{"at most " + std::to_string(kZipInflatedBytesMax >> 20) + " MiB of it are unpacked"};
    }
    take(std::string_view(buffer).substr(0, static_cast<size_t>(got)));
  }
}

std::optional<std::string> OfficePackage::Read(const std::string& part) {
  std::string whole;
  const bool found = Stream(part, [&](std::string_view piece) {
    if (whole.size() + piece.size() > kPartBytesMax) {
      throw ShapeLimit{"at most " + std::to_string(kPartBytesMax >> 20) + " MiB of a part are read, and " +
                       Shown(part) + " has more"};
    }
    whole += piece;
  });
  return found ? std::optional(std::move(whole)) : std::nullopt;
}

Relationships OfficePackage::RelationshipsOf(const std::string& part) {
  const std::string folder = FolderOf(part);
  const std::string name = folder + "_rels/" + std::string(LastPiece(part)) + ".rels";
  Relationships found;
  const std::optional<std::string> bytes = Read(name);
  if (!bytes) return found;
  const XmlTree tree = XmlTree::Parse(name, *bytes);
  tree.EachChild(0, [&](XmlTree::Id id) {
    if (tree.Name(id) != "Relationship") return;
    const bool inside = tree.Attribute(id, "TargetMode") != "External";
    found.emplace(tree.Attribute(id, "Id"),
                  Relationship{.type = std::string(LastPiece(tree.Attribute(id, "Type"))),
                               .target = inside ? Resolve(folder, tree.Attribute(id, "Target")) : ""});
  });
  return found;
}

std::string OfficePackage::Title() {
  try {
    const std::string part = TargetOf(RelationshipsOf(""), "core-properties");
    const std::optional<std::string> bytes = part.empty() ? std::nullopt : Read(part);
    if (!bytes) return "";
    const XmlTree tree = XmlTree::Parse(part, *bytes);
    const XmlTree::Id title = tree.Child(0, "title");
    return title == 0 || tree.FirstChild(title) == 0 ? "" : std::string(tree.TextOf(tree.FirstChild(title)));
  } catch (const Refusal&) {
    return "";  // damaged properties take no text away
  }
}

std::string TargetOf(const Relationships& relationships, std::string_view type) {
  for (const auto& [id, relationship] : relationships) {
    if (relationship.type == type) return relationship.target;
  }
  return "";
}

}  // namespace carrel::retrieval::extract
