"""The VirtualBox flavour's description against the structure of what ``VBoxManage export`` wrote elsewhere."""

from __future__ import annotations

from xml.etree import ElementTree as ET

from harness.drivers.vagrant import ovf

OVF = "{http://schemas.dmtf.org/ovf/envelope/1}"
RASD = "{http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_ResourceAllocationSettingData}"
VSSD = "{http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_VirtualSystemSettingData}"

EXPORTED = {
    "": ["References", "DiskSection", "NetworkSection", "VirtualSystem"],
    "VirtualSystem": ["Info", "OperatingSystemSection", "VirtualHardwareSection"],
    "VirtualSystem/VirtualHardwareSection/System": [
        f"{VSSD}ElementName", f"{VSSD}InstanceID", f"{VSSD}VirtualSystemIdentifier", f"{VSSD}VirtualSystemType",
    ],
}  # fmt: skip
"""Children of these elements in exports of VirtualBox 4.3 (two public boxes), in their order."""

ITEMS = {
    "3": {"Caption", "ElementName", "InstanceID", "ResourceType", "VirtualQuantity"},
    "4": {"AllocationUnits", "Caption", "ElementName", "InstanceID", "ResourceType", "VirtualQuantity"},
    "5": {"Address", "Caption", "ElementName", "InstanceID", "ResourceSubType", "ResourceType"},
    "17": {"AddressOnParent", "Caption", "ElementName", "HostResource", "InstanceID", "Parent", "ResourceType"},
    "10": {"AutomaticAllocation", "Caption", "Connection", "ElementName", "InstanceID", "ResourceSubType",
           "ResourceType"},
}  # fmt: skip
"""Fields of an exported hardware item by its resource type; ``Description`` is left out, nothing reads it."""


def _read() -> ET.Element:
    return ET.fromstring(ovf.text("nodeport-bookworm", 3 * 2**30, 12345))  # noqa: S314  our own text


def _items(envelope: ET.Element) -> list[dict[str, str]]:
    found = envelope.findall(f"{OVF}VirtualSystem/{OVF}VirtualHardwareSection/{OVF}Item")
    return [{field.tag.removeprefix(RASD): str(field.text) for field in item} for item in found]


def test_elements_are_those_of_an_export_in_their_order() -> None:
    envelope = _read()
    assert envelope.tag == f"{OVF}Envelope"
    for path, children in EXPORTED.items():
        element = envelope.find("/".join(f"{OVF}{part}" for part in path.split("/"))) if path else envelope
        assert element is not None
        assert [child.tag.removeprefix(OVF) for child in element] == children


def test_hardware_items_have_the_fields_of_an_export() -> None:
    items = _items(_read())
    assert [item["ResourceType"] for item in items] == list(ITEMS)
    for item in items:
        assert set(item) == ITEMS[item["ResourceType"]]
    assert len({item["InstanceID"] for item in items}) == len(items)


def test_file_disk_and_controller_refer_to_each_other() -> None:
    envelope = _read()
    file, drive = envelope.find(f"{OVF}References/{OVF}File"), envelope.find(f"{OVF}DiskSection/{OVF}Disk")
    assert file is not None
    assert drive is not None
    assert (file.get(f"{OVF}href"), file.get(f"{OVF}size")) == (ovf.DISK, "12345")
    assert drive.get(f"{OVF}fileRef") == file.get(f"{OVF}id")
    assert drive.get(f"{OVF}capacity") == str(3 * 2**30)
    items = {item["ResourceType"]: item for item in _items(envelope)}
    assert items["17"]["HostResource"] == f"/disk/{drive.get(f'{OVF}diskId')}"
    assert items["17"]["Parent"] == items["5"]["InstanceID"]
    network = envelope.find(f"{OVF}NetworkSection/{OVF}Network")
    assert network is not None
    assert network.get(f"{OVF}name") == items["10"]["Connection"]


def test_the_hardware_is_what_the_kernel_of_our_box_drives() -> None:
    items = {item["ResourceType"]: item for item in _items(_read())}
    assert items["5"]["ResourceSubType"] == "PIIX4"
    assert items["10"]["ResourceSubType"] == "virtio"
