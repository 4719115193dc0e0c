"""The description of the box for VirtualBox: OVF 1.0 as ``VBoxManage export`` writes it, less VirtualBox's own part.

Never imported by a real VirtualBox here: it cannot run on our machines. What VirtualBox needs of it is in its
``OVFReader``: file, disk, network, and hardware items by resource type (CPU 3, memory 4, IDE 5, Ethernet 10, disk 17).
"""

from __future__ import annotations

from collections.abc import Mapping

DISK = "box-disk001.vmdk"
"""The name of the disk image beside ``box.ovf``."""

MAC = "080027B0DE01"
"""Of the first adapter; Vagrant asks every box for it."""

VAGRANTFILE = f'Vagrant.configure("2") do |config|\n  config.vm.base_mac = "{MAC}"\nend\n'
"""The part of the box's own Vagrantfile that is for VirtualBox alone."""

_NAMESPACES = {
    "xmlns": "http://schemas.dmtf.org/ovf/envelope/1",
    "xmlns:ovf": "http://schemas.dmtf.org/ovf/envelope/1",
    "xmlns:rasd": "http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_ResourceAllocationSettingData",
    "xmlns:vssd": "http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_VirtualSystemSettingData",
}
_FORMAT = "http://www.vmware.com/interfaces/specifications/vmdk.html#streamOptimized"

_ITEMS: tuple[Mapping[str, str], ...] = (
    {"Caption": "1 virtual CPU", "ElementName": "1 virtual CPU", "InstanceID": "1", "ResourceType": "3",
     "VirtualQuantity": "1"},
    {"AllocationUnits": "MegaBytes", "Caption": "512 MB of memory", "ElementName": "512 MB of memory",
     "InstanceID": "2", "ResourceType": "4", "VirtualQuantity": "512"},
    {"Address": "0", "Caption": "ideController0", "ElementName": "ideController0", "InstanceID": "3",
     "ResourceSubType": "PIIX4", "ResourceType": "5"},
    {"AddressOnParent": "0", "Caption": "disk1", "ElementName": "disk1", "HostResource": "/disk/vmdisk1",
     "InstanceID": "4", "Parent": "3", "ResourceType": "17"},
    {"AutomaticAllocation": "true", "Caption": "Ethernet adapter on 'NAT'", "Connection": "NAT",
     "ElementName": "Ethernet adapter on 'NAT'", "InstanceID": "5", "ResourceSubType": "virtio", "ResourceType": "10"},
)  # fmt: skip
"""CPU, memory, a PIIX4 IDE controller with the disk, and a virtio adapter: Debian's cloud kernel drives no other."""


def text(name: str, capacity: int, size: int) -> str:
    """``box.ovf`` of a machine called ``name``: its disk has ``capacity`` bytes, in an image of ``size`` bytes."""
    spaces = " ".join(f'{key}="{value}"' for key, value in _NAMESPACES.items())
    items = "".join(f"      <Item>\n{_fields(item)}      </Item>\n" for item in _ITEMS)
    return f"""<?xml version="1.0"?>
<Envelope ovf:version="1.0" xml:lang="en-US" {spaces}>
  <References>
    <File ovf:href="{DISK}" ovf:id="file1" ovf:size="{size}"/>
  </References>
  <DiskSection>
    <Info>List of the virtual disks used in the package</Info>
    <Disk ovf:capacity="{capacity}" ovf:diskId="vmdisk1" ovf:fileRef="file1" ovf:format="{_FORMAT}"/>
  </DiskSection>
  <NetworkSection>
    <Info>Logical networks used in the package</Info>
    <Network ovf:name="NAT">
      <Description>Logical network used by this appliance.</Description>
    </Network>
  </NetworkSection>
  <VirtualSystem ovf:id="{name}">
    <Info>A virtual machine</Info>
    <OperatingSystemSection ovf:id="96">
      <Info>The kind of installed guest operating system</Info>
      <Description>Debian_64</Description>
    </OperatingSystemSection>
    <VirtualHardwareSection>
      <Info>Virtual hardware requirements for a virtual machine</Info>
      <System>
        <vssd:ElementName>Virtual Hardware Family</vssd:ElementName>
        <vssd:InstanceID>0</vssd:InstanceID>
        <vssd:VirtualSystemIdentifier>{name}</vssd:VirtualSystemIdentifier>
        <vssd:VirtualSystemType>virtualbox-2.2</vssd:VirtualSystemType>
      </System>
{items}    </VirtualHardwareSection>
  </VirtualSystem>
</Envelope>
"""


def _fields(item: Mapping[str, str]) -> str:
    return "".join(f"        <rasd:{field}>{value}</rasd:{field}>\n" for field, value in item.items())
