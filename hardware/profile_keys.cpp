#include "hardware/profile_keys.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "base/json.h"

namespace hourglass::hardware {

namespace {

// A class of costs, as opposed to a name or the launches.
template <class T>
concept CostClass = requires(T& member) {
  member.basis;
};

// Calls visit(name, class) for every class, in file order.
template <class Visit>
struct EachClass : base::Visitor<EachClass<Visit>> {
  explicit EachClass(const Visit& f) : visit(f) {}
  template <class K, class T>
  void see(const K& key, T& member) {
    if constexpr (CostClass<T>) visit(key.name, member);
  }
  const Visit& visit;
};

template <class Visit>
void for_each_class(Profile& profile, const Visit& visit) {
  EachClass<Visit> each(visit);
  describe(each, profile);
}

// The figures of one class: calls visit(figure, member).
template <class Visit>
struct EachFigure : base::Visitor<EachFigure<Visit>> {
  explicit EachFigure(const Visit& f) : visit(f) {}
  template <class K, class T>
  void see(const K& key, T& member) {
    if constexpr (std::same_as<K, Figure>) visit(key, member);
  }
  const Visit& visit;
};

// Those of the class of this name; returns whether there is one.
template <class Visit>
bool for_each_figure(Profile& profile, const std::string& name, const Visit& visit) {
  bool found = false;
  for_each_class(profile, [&](const std::string& each, auto& kernel) {
    if (each != name) return;
    EachFigure<Visit> figures(visit);
    describe(figures, kernel);
    found = true;
  });
  return found;
}

[[noreturn]] void no_such_class(const std::string& name) { throw base::Error("there is no class " + name, "profile"); }

}  // namespace

const char* name_of(Origin origin) {
  switch (origin) {
    case Origin::measured:
      return "measured";
    case Origin::fitted:
      return "fitted";
    case Origin::transferred:
      return "transferred";
    case Origin::assumed:
      return "assumed";
  }
  return "";
}

Profile read_profile(const base::Json& document, const std::string& file) {
  base::Fields fields(document, file);
  Profile profile;
  base::read_described(fields, profile);
  return profile;
}

base::Json profile_json(const Profile& profile) { return base::json_of(profile); }

std::vector<ClassOrigin> origins(const Profile& profile) {
  std::vector<ClassOrigin> all;
  Profile copy = profile;
  for_each_class(copy, [&](const std::string& name, const auto& kernel) {
    if (!kernel.basis.source.empty()) all.push_back({name, kernel.basis});  // FP8 may be absent
  });
  return all;
}

void set_basis(Profile& profile, const std::string& name, const Basis& basis) {
  bool found = false;
  for_each_class(profile, [&](const std::string& each, auto& kernel) {
    if (each != name) return;
    kernel.basis = basis;
    found = true;
  });
  if (!found) no_such_class(name);
}

Profile slowed(Profile profile, const std::string& name, double factor) {
  for_each_figure(profile, name, [&](const Figure& figure, double& value) {
    switch (figure.slowness) {
      case Slowness::leaves:
        return;
      case Slowness::divides:
        value /= factor;
        return;
      case Slowness::multiplies:
        value *= factor;
        return;
    }
  });
  return profile;
}

std::vector<FittedFigure> fitted_figures(Profile& profile, const std::string& name) {
  std::vector<FittedFigure> kept, first_to_go;
  const bool found = for_each_figure(profile, name, [&](const Figure& figure, double& value) {
    if (figure.samples == FittedTo::nothing || !figure.present.value_or(true)) return;
    (figure.spared ? first_to_go : kept)
        .push_back({figure.name, &value, figure.fit_low, figure.fit_high, figure.samples});
  });
  if (!found) no_such_class(name);
  kept.insert(kept.end(), first_to_go.begin(), first_to_go.end());
  return kept;
}

std::vector<base::DescribedKey> profile_keys() { return base::keys_of<Profile>(); }

}  // namespace hourglass::hardware
