"""Where a pod's volumes let it run: for each claim, the place of the volume it is bound to.

A claim (PersistentVolumeClaim) is bound to the volume that it names, or to the one whose `claimRef` names it. Where a
volume is, its `nodeAffinity` says and, for older ones, its labels of zone and region (k8s.io/kubernetes, volumezone:
several values are joined by ``__``). A claim without a volume may be provisioned wherever its StorageClass'
`allowedTopologies` say, or anywhere; whether that happens at once or waits for a pod makes no difference.

CSI drivers label nodes with the zone under keys of their own, which a node has once the driver runs on it: such a key
stands for the zone, as it does for Karpenter, so that a node to be bought has it. What is left out: which of several
existing volumes an unbound claim would be bound to.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import cached_property

from raypipe.manifests.fields import Field
from raypipe.manifests.objects import KubeObject, Objects
from raypipe.manifests.requirements import selector_terms
from raypipe.manifests.selectors import conjunction, in_order
from raypipe.model.requirements import DEPRECATED_LABELS, REGION, ZONE, Operator, Requirement, Term

CLAIM_KINDS = ("persistentVolumeClaim", "ephemeral")
"""Kinds of a pod's volumes that are claims."""

CSI_ZONES = (
    "topology.ebs.csi.aws.com/zone",
    "topology.gke.io/zone",
    "topology.disk.csi.azure.com/zone",
)
"""Keys under which CSI drivers repeat the zone."""

_DEFAULT_CLASS = (
    "storageclass.kubernetes.io/is-default-class",
    "storageclass.beta.kubernetes.io/is-default-class",
)
_CLASS_ANNOTATION = "volume.beta.kubernetes.io/storage-class"
_PLACE_LABELS = (ZONE, REGION, *(old for old, new in DEPRECATED_LABELS.items() if new in (ZONE, REGION)))
_GONE = ("Released", "Failed")
"""Phases of a volume whose claim is no more."""

_ORDINAL = re.compile(r"0|[1-9][0-9]{0,8}")

type Place = tuple[tuple[Term, ...], ...]
"""For each tie, terms one of which must hold of the node."""

NOWHERE: Place = ()
"""Tied to no place, or to one that the input does not tell."""


class Volumes:
    """The claims, volumes and storage classes of a cluster."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects
        self._by_claim: dict[tuple[str, str], Place | None] = {}

    def place(self, volumes: Field, namespace: str, pod: str | None, templates: Field | None) -> tuple[Place, bool]:
        """What a pod's volumes ask of its node, each thing once, in order; and whether the input tells it all.

        pod: its name, which its own claims are called after; None for a pod still to be created. templates: the
        volumeClaimTemplates of its StatefulSet.
        """
        claims = list(_claims(volumes, pod, templates))
        of_templates = {name for name, made in claims if made is not None}
        places = [
            self._tied(namespace, name, made) for name, made in claims if made is not None or name not in of_templates
        ]
        ties = {tie for place in places if place is not None for tie in place}
        return in_order(ties), None not in places

    def ordinals(self, namespace: str, name: str, templates: Field) -> list[int]:
        """Numbers of the pods of a StatefulSet that have a claim already, in order."""
        stems = [f"{template.plain('metadata', 'name')}-{name}" for template in templates.items()]
        return sorted({number for stem in stems for number in self._numbered.get((namespace, stem), ())})

    @cached_property
    def _numbered(self) -> dict[tuple[str, str], list[int]]:
        """The numbers at the end of claims' names, by namespace and what is before."""
        found: dict[tuple[str, str], list[int]] = {}
        names = {(one.namespace, one.name) for one in self._objects.of("PersistentVolumeClaim")}
        for namespace, name in names | self._volumes.keys():
            stem, _, number = name.rpartition("-")
            if _ORDINAL.fullmatch(number):
                found.setdefault((namespace, stem), []).append(int(number))
        return found

    def _tied(self, namespace: str, name: str | None, made: Field | None) -> Place | None:
        """The place of a claim, or of the one that will be made; None where the input does not tell it."""
        known = self._of_claim(namespace, name) if name else None
        if known is not None or made is None or self._are_missing:
            return known
        return self._of_class(made, None)

    @cached_property
    def _are_missing(self) -> bool:
        """Whether the input was taken from a cluster without its claims: those of live pods exist and are not seen."""
        return bool(self._objects.of("Pod")) and not self._objects.of("PersistentVolumeClaim")

    def _of_claim(self, namespace: str, name: str) -> Place | None:
        """The place of a claim; None where the input does not know it, or not the volume that it names."""
        if (namespace, name) not in self._by_claim:
            self._by_claim[namespace, name] = self._read_claim(namespace, name)
        return self._by_claim[namespace, name]

    def _read_claim(self, namespace: str, name: str) -> Place | None:
        claim = self._objects.named(f"PersistentVolumeClaim/{namespace}/{name}")
        named = claim.spec.get("volumeName").text() if claim is not None else ""
        volume = self._objects.named(f"PersistentVolume//{named}") if named else self._volumes.get((namespace, name))
        if volume is not None:
            return _of_volume(volume)
        if claim is None:
            return None
        return None if named else self._of_class(claim.spec, claim.annotation(_CLASS_ANNOTATION))

    @cached_property
    def _volumes(self) -> dict[tuple[str, str], KubeObject]:
        """Volumes by the namespace and name of the claim that they are for."""
        found = {}
        for one in self._objects.of("PersistentVolume"):
            namespace, name = (one.root.plain("spec", "claimRef", part) for part in ("namespace", "name"))
            if isinstance(namespace, str) and isinstance(name, str) and one.status.get("phase").value not in _GONE:
                found[namespace, name] = one
        return found

    def _of_class(self, claim: Field, annotated: str | None) -> Place:
        """Where a volume may be provisioned for a claim with this spec; an empty name is no class."""
        stated = claim.get("storageClassName")
        name = annotated or (self._default_class if stated.value is None else stated.text())
        one = self._objects.named(f"StorageClass//{name}") if name else None
        terms = {_topology(term) for term in one.root.get("allowedTopologies").items()} if one is not None else set()
        return (in_order(terms),) if terms else NOWHERE

    @cached_property
    def _default_class(self) -> str:
        """The class of claims that name none: of several defaults the youngest, then the first by name."""
        found = [
            one
            for one in self._objects.of("StorageClass")
            if any(one.annotation(name) == "true" for name in _DEFAULT_CLASS)
        ]
        return max(found, key=lambda one: one.created or "").name if found else ""


def _claims(volumes: Field, pod: str | None, templates: Field | None) -> Iterator[tuple[str | None, Field | None]]:
    """The name of each claim, None while nobody knows it, and the spec of one that is made for the pod."""
    for one in templates.items() if templates is not None else ():
        name = one.get("metadata", "name").text()
        yield (f"{name}-{pod}" if pod else None), one.get("spec")
    for one in volumes.items():
        if one.plain("persistentVolumeClaim") is not None:
            claim = one.get("persistentVolumeClaim", "claimName")
            if not claim.text():
                claim.problem("nothing", "the name of a PersistentVolumeClaim")
            yield claim.text(), None
        if one.plain("ephemeral") is not None:
            name = one.get("name").text()
            yield (f"{pod}-{name}" if pod else None), one.get("ephemeral", "volumeClaimTemplate", "spec")


def _of_volume(one: KubeObject) -> Place:
    """Where a volume can be reached from."""
    affinity = one.spec.get("nodeAffinity")
    affinity.only(("required",))
    terms = {_zonal(term) for term in selector_terms(affinity.get("required"))}
    labelled = {
        (conjunction([_among(DEPRECATED_LABELS.get(key, key), text.split("__"))]),)
        for key in _PLACE_LABELS
        if (text := one.label(key))
    }
    return in_order({*([in_order(terms)] if terms else ()), *labelled})


def _topology(term: Field) -> Term:
    """A term of allowedTopologies."""
    term.only(("matchLabelExpressions",))
    parts = []
    for one in term.get("matchLabelExpressions").items():
        one.only(("key", "values"))
        key, values = one.get("key").text(), one.get("values").texts()
        if not key or not values:
            one.get("values" if key else "key").problem("nothing", "the key of a label, and its values")
        parts.append(_among(key, values))
    return _zonal(tuple(parts))


def _among(key: str, values: Iterable[str]) -> Requirement:
    return Requirement(key=key, operator=Operator.IN, values=tuple(values))


def _zonal(term: Term) -> Term:
    """A term with the zone under its one key.

    Azure's driver says "" for nodes in no zone: a node to be bought is in one, and a volume for none needs that label.
    """
    return conjunction(_of_zone(one) if one.key in CSI_ZONES else one for one in term)


def _of_zone(one: Requirement) -> Requirement:
    zones = tuple(filter(None, one.values))
    return replace(one, key=ZONE, values=zones) if zones or not one.values else one
