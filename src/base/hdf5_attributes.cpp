// Attributes of files, groups and datasets: one text, one integer or one real number each.
#include <algorithm>
#include <array>
#include <charconv>

#include "hdf5_handle.hpp"
#include "tightrope/base/check.hpp"

namespace tightrope::h5 {
namespace {

Id text_type() {
  Id type(H5Tcopy(H5T_C_S1), H5Tclose);
  H5Tset_size(type, H5T_VARIABLE);
  H5Tset_cset(type, H5T_CSET_UTF8);
  return type;
}

std::string attribute_of(const std::string& path, const std::string& name) {
  return "attribute '" + name + "' of '" + path + "'";
}

constexpr hssize_t most_shown = 1000;  // values of a list

std::string shortest(double value) {
  std::array<char, 32> text;
  return {text.data(), std::to_chars(text.data(), text.data() + text.size(), value).ptr};
}

// Takes one value; false where there is none, or more, or of another class.
bool take(hid_t object, const std::string& name, H5T_class_t kind, hid_t memory, void* value) {
  const Id attribute(H5Aopen(object, name.c_str(), H5P_DEFAULT), H5Aclose);
  if (attribute < 0) return false;
  const Id space(H5Aget_space(attribute), H5Sclose);
  const Id type(H5Aget_type(attribute), H5Tclose);
  const bool fits = H5Sget_simple_extent_npoints(space) == 1 && H5Tget_class(type) == kind;
  return fits && H5Aread(attribute, memory, value) >= 0;
}

}  // namespace

void File::Handle::put(const std::string& owner, const std::string& name, hid_t stored, hid_t memory,
                       const void* values, std::optional<hsize_t> count) {
  where_the_file_is([&] {
    const Id owned = object(owner);
    if (H5Aexists(owned, name.c_str()) > 0) H5Adelete(owned, name.c_str());
    const Id space(count ? H5Screate_simple(1, &*count, nullptr) : H5Screate(H5S_SCALAR), H5Sclose);
    const Id attribute(H5Acreate2(owned, name.c_str(), stored, space, H5P_DEFAULT, H5P_DEFAULT), H5Aclose);
    if (attribute < 0 || (count != hsize_t{0} && H5Awrite(attribute, memory, values) < 0)) {
      fail("cannot write " + attribute_of(owner, name) + " in '" + path + "'");
    }
  });
}

void File::set_attribute(const std::string& path, const std::string& name, const std::string& value) {
  const Id type = text_type();
  const char* text = value.c_str();
  handle_->put(path, name, type, type, &text);
}

void File::set_attribute(const std::string& path, const std::string& name, int64_t value) {
  handle_->put(path, name, H5T_STD_I64LE, H5T_NATIVE_INT64, &value);
}

void File::set_attribute(const std::string& path, const std::string& name, double value) {
  handle_->put(path, name, H5T_IEEE_F64LE, H5T_NATIVE_DOUBLE, &value);
}

void File::set_attribute(const std::string& path, const std::string& name, const std::vector<int64_t>& list) {
  handle_->put(path, name, H5T_STD_I64LE, H5T_NATIVE_INT64, list.data(), list.size());
}

void File::set_attribute(const std::string& path, const std::string& name, const std::vector<uint64_t>& list) {
  handle_->put(path, name, H5T_STD_U64LE, H5T_NATIVE_UINT64, list.data(), list.size());
}

std::string File::text_attribute(const std::string& path, const std::string& name) const {
  const Id object = handle_->object(path);
  const Id attribute(H5Aopen(object, name.c_str(), H5P_DEFAULT), H5Aclose);
  const Id stored(attribute < 0 ? -1 : H5Aget_type(attribute), H5Tclose);
  const Id space(attribute < 0 ? -1 : H5Aget_space(attribute), H5Sclose);
  const bool fits = stored >= 0 && H5Tget_class(stored) == H5T_STRING && H5Tis_variable_str(stored) > 0 &&
                    H5Sget_simple_extent_npoints(space) == 1;
  char* text = nullptr;
  if (!fits || H5Aread(attribute, text_type(), &text) < 0) {
    handle_->fail("cannot read " + attribute_of(path, name) + " in '" + handle_->path + "'",
                  "it is not there as a text");
  }
  std::string value = text ? text : "";
  H5free_memory(text);
  return value;
}

int64_t File::integer_attribute(const std::string& path, const std::string& name) const {
  int64_t value = 0;
  if (!take(handle_->object(path), name, H5T_INTEGER, H5T_NATIVE_INT64, &value)) {
    handle_->fail("cannot read " + attribute_of(path, name) + " in '" + handle_->path + "'",
                  "it is not there as one integer");
  }
  return value;
}

double File::real_attribute(const std::string& path, const std::string& name) const {
  double value = 0;
  if (!take(handle_->object(path), name, H5T_FLOAT, H5T_NATIVE_DOUBLE, &value)) {
    handle_->fail("cannot read " + attribute_of(path, name) + " in '" + handle_->path + "'",
                  "it is not there as one number");
  }
  return value;
}

std::string File::attribute_as_text(const std::string& path, const std::string& name) const {
  const Id object = handle_->object(path);
  const Id attribute(H5Aopen(object, name.c_str(), H5P_DEFAULT), H5Aclose);
  const Id space(attribute < 0 ? -1 : H5Aget_space(attribute), H5Sclose);
  const Id stored(attribute < 0 ? -1 : H5Aget_type(attribute), H5Tclose);
  const H5T_class_t kind = stored < 0 ? H5T_NO_CLASS : H5Tget_class(stored);
  if (kind == H5T_STRING) return text_attribute(path, name);
  const hssize_t count = space < 0 ? 0 : H5Sget_simple_extent_npoints(space);
  if (kind == H5T_FLOAT && count == 1) return shortest(real_attribute(path, name));
  if (kind != H5T_INTEGER || count < 0 || count > most_shown) {
    return std::string("(").append(std::to_string(count)).append(" values)");
  }
  const bool is_signed = H5Tget_sign(stored) == H5T_SGN_2;
  std::vector<int64_t> values(static_cast<size_t>(count));
  if (H5Aread(attribute, is_signed ? H5T_NATIVE_INT64 : H5T_NATIVE_UINT64, values.data()) < 0) {
    handle_->fail("cannot read " + attribute_of(path, name) + " in '" + handle_->path + "'");
  }
  std::string text;
  for (const int64_t value : values) {
    text +=
        (text.empty() ? "" : ", ") + (is_signed ? std::to_string(value) : std::to_string(static_cast<uint64_t>(value)));
  }
  return text;
}

bool File::has_attribute(const std::string& path, const std::string& name) const {
  return has(path) && H5Aexists(handle_->object(path), name.c_str()) > 0;
}

std::vector<std::string> File::attribute_names(const std::string& path) const {
  std::vector<std::string> names;
  const auto add = [](hid_t, const char* name, const H5A_info_t*, void* list) -> herr_t {
    static_cast<std::vector<std::string>*>(list)->emplace_back(name);
    return 0;
  };
  if (H5Aiterate2(handle_->object(path), H5_INDEX_NAME, H5_ITER_INC, nullptr, add, &names) < 0) {
    handle_->fail("cannot list the attributes of '" + path + "' in '" + handle_->path + "'");
  }
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace tightrope::h5
